# gate: no
# memory: 3072
# Long: named, or by `cargo xtask vm all`.  A thousand replicas shared at once: time and memory of each.
. /opt/vm/lib.sh
TARGET=/sys/kernel/config/nvmet COUNT=1000
modprobe -a nvmet nvmet-tcp
mountpoint -q /sys/kernel/config || quiet mount -t configfs configfs /sys/kernel/config
loops 1 5000
good "a pool" pool create p "${LOOPS[0]}" --extent-size 1M
good "a thousand replicas" replica create-many p $COUNT 4M
q "' '.join(r['uuid'] for r in d)" >"$W/line"
tr ' ' '\n' <"$W/line" >"$W/uuids"
is "so many" "$(grep -c . "$W/uuids")" $COUNT
free() { sync; echo 3 >/proc/sys/vm/drop_caches; awk '/^MemFree/ {print $2}' /proc/meminfo; }
now() { awk '{print int($1 * 1000)}' /proc/uptime; }
# The tags of all by the tools in one commit, then an import, which shares all of them in one process.
quiet vgcfgbackup -q -f "$W/text" p
sed -i 's/mayastor.lv.share=off/mayastor.lv.share=nvmf/' "$W/text"
quiet vgcfgrestore -q -y -f "$W/text" p
before=$(free) begun=$(now)
quiet timeout 300 poolctl pool import p "${LOOPS[0]}"
ended=$(now) after=$(free)
is "all are served" "$(ls $TARGET/ports/*/subsystems | wc -l)" $COUNT
note "a share takes $(((ended - begun) * 1000 / COUNT)) us and $(((before - after) / COUNT)) KiB"
begun=$(now); good "they are listed" replica list p; ended=$(now)
that "each has a URI" "len(d) == $COUNT and all(r['share']['uri'] for r in d)"
note "a list of $COUNT that are shared takes $((ended - begun)) ms"
begun=$(now); good "one is changed" replica set "$(head -1 "$W/uuids")" --entity-id e; ended=$(now)
note "a change beside them takes $((ended - begun)) ms"
begun=$(now)
quiet timeout 300 poolctl pool destroy p
ended=$(now)
note "all go in $((ended - begun)) ms"
is "nothing is left in the target" "$(ls "$TARGET/hosts" "$TARGET/ports" "$TARGET/subsystems" | grep -cv ":$\|^$")" 0
ask leaks; is "nothing is left over" "$REPLY" ""
losetup -d "${LOOPS[0]}"
