# gate: trixie-udev trixie-noudev
# A thin pool that LVM's dmeventd watches, too: it goes on watching whatever we do, one of the two grows it and not both, and
# the pool goes away under it.
. /opt/vm/lib.sh
A=$(uuid 0xa) B=$(uuid 0xb) C=$(uuid 0xc) S=$(uuid 0x51)
POOL=mayastor-thinpool
MIB=$((1 << 20))
CONF=/etc/lvm/lvmlocal.conf
MINE=(--threshold 70 --step 20%)
size() { field lvs lv_size "p/$POOL"; }
watched() { is "dmeventd watches the pool $1" "$(field lvs seg_monitor "p/$POOL")" monitored; }
# Until somebody made the pool larger than BYTES.
larger() { local before=$1; await 15 '[ "$(size)" != "$before" ]'; }
idle() { await 5 leaks || { echo "$REPLY"; return 1; }; }
# One look of our monitor: all its lines as one list.
once() {
    poolctl --json thin monitor p --once "${MINE[@]}" >"$W/once" 2>"$W/once.err"; RC=$?
    python3 -c 'import json, sys; print(json.dumps([json.loads(line) for line in open(sys.argv[1])]))' "$W/once" >"$O"
}
grown() { that "$1" "[a for a in d if a.get('action') == 'extended'] == []"; }
# The processes of that name; Debian 13 has no pidof here.
running() { grep -lx dmeventd /proc/[0-9]*/comm 2>/dev/null | cut -d/ -f3; }
runs_now() { [ -n "$(running)" ]; }
dmeventd_pid() { cat /run/dmeventd.pid 2>/dev/null; }

runs "no dmeventd runs by itself" test -z "$(running)"
cp $CONF "$W/conf"
sed -i 's/monitoring = 0/monitoring = 1 thin_pool_autoextend_threshold = 70 thin_pool_autoextend_percent = 20/' $CONF
good "a pool with a thin pool" pool create p /dev/vda --extent-size 1M --thin-pool 32M
good "a replica" replica create p "$A" 64M --thin
runs "no dmeventd was started" test -z "$(running)"
once
that "nobody else is there" "[a for a in d if a.get('action') == 'other_monitor'] == []"
quiet vgchange --monitor y p
runs "dmeventd runs" runs_now
watched "now"
once
is "a monitor beside it works" "$RC" 0
that "and tells of dmeventd" "[(a['program'], a['pid'], a['threshold']) for a in d if a.get('action') == 'other_monitor'] == [('dmeventd', $(dmeventd_pid), 70)]"

# Whatever we do, it goes on watching.
good "another replica" replica create p "$B" 8M --thin
watched "after a replica was made"
good "a snapshot" snapshot create "$A" "$S" --name n/1 --txn 1 --entity-id e
watched "after a snapshot"
good "a clone" clone create "$S" "$C" --name c
watched "after a clone"
good "the clone goes" replica destroy "$C"
good "the snapshot goes" snapshot destroy "$S"
good "the replica goes" replica destroy "$B"
watched "after destructions"
good "both parts grow" thin extend p --data 36M --metadata 3M
watched "after an extension"

# dmeventd acts, and we do not once more.
before=$(size)
is "the size is ours" "$before" $((36 * MIB))
fill "/dev/p/$A" one 27

runs "dmeventd makes the pool larger" larger "$before"
runs "and is done" idle
after=$(size)
note "dmeventd made $((before / MIB)) MiB $((after / MIB))"
once
grown "we do not grow it for the same shortage"
is "it has what dmeventd gave it" "$(size)" "$after"
good "the kernel has the same size" thin status p
that "and the pool is well" "d['data_size'] == $after and d['state'] == 'online'"
lvm_ok "LVM finds the VG sound" p
watched "after it acted"

# Whoever is first acts, and the other does not.
fill "/dev/p/$A" two 32
once
larger "$after"
runs "all is done" idle
grew=$(size)
note "of 32 MiB in use: $((after / MIB)) MiB became $((grew / MIB)); we: $(tr '\n' ' ' <"$W/once")"
runs "it grew" test "$grew" -gt "$after"
runs "by one step" test "$grew" -le $((after + after / 5 + MIB))
sleep 11
is "and not once more when dmeventd looks again" "$(size)" "$grew"
watched "after we acted"
lvm_ok "LVM finds the VG sound" p

# The pool goes away under it.
good "the pool is exported" pool export p
is "no device is left" "$(dmsetup ls | grep -c mayastor)" 0
runs "dmeventd is still there" runs_now
good "and imported" pool import p /dev/vda
quiet vgchange --monitor y p
watched "after the import"
good "it is destroyed" pool destroy p
is "no device is left after all" "$(dmsetup ls | grep -c mayastor)" 0
# It refuses to end while it watches anything, and takes its time to see that nothing is there any more.
await 15 'kill -TERM "$(dmeventd_pid)" 2>/dev/null; [ -z "$(running)" ]'
is "dmeventd holds nothing, so it ends when asked" "$(running)" ""
[ -z "$(running)" ] || kill -KILL "$(running)"
cp "$W/conf" $CONF
