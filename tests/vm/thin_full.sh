# gate: trixie-udev
# Thin pools that fill up: made larger under I/O by hand and by the monitor, and full to the brim, beside the real tools.
. /opt/vm/lib.sh
A=$(uuid 0xa) B=$(uuid 0xb) C=$(uuid 0xc) D=$(uuid 0xd) S=$(uuid 0x51) T=$(uuid 0x52)
POOL=mayastor-thinpool
MIB=$((1 << 20))
tpool() { echo "$1-${POOL/-/--}-tpool"; }
# The Nth word of what the kernel says of a pool: 5 metadata, 6 data, 8 its mode.
says() { dmsetup status --noflush "$(tpool "$1")" | cut -d' ' -f"$2"; }
stamp() { python3 /opt/vm/stamp.py "$@"; }
# Writers have what poolctl leaves them.
STAMPS_AS=nice
until_full() { local vg=$1; await 30 '[ "$(says "$vg" 8)" = out_of_data_space ]'; }
# Makes thin devices that no LV has, for the metadata that they take.
crowd() { # VG COUNT
    python3 - "$(tpool "$1")" "$2" <<'PY'
import fcntl, struct, sys
name, count = sys.argv[1].encode(), int(sys.argv[2])
with open("/dev/mapper/control", "rb") as control:
    for number in range(count):
        message = struct.pack("=Q", 0) + b"create_thin %d\0" % (100000 + number)
        head = struct.pack("=3IIIIiIIIQ128s129s7s", 4, 0, 0, 312 + len(message), 312, 0, 0, 0, 0, 0, 0, name, b"", b"")
        fcntl.ioctl(control, 0xC138FD0E, bytearray(head + message))
PY
}
# The kernel and LVM have the same sizes.
agree() { # NAME VG DATA METADATA, in MiB
    local name=$1 vg=$2
    is "$name: the data, by LVM" "$(field lvs lv_size "$vg/$POOL")" $(($3 * MIB))
    is "$name: the metadata, by LVM" "$(field lvs lv_metadata_size "$vg/$POOL")" $(($4 * MIB))
    is "$name: the data, by the kernel" "$(says "$vg" 6 | cut -d/ -f2)" $(($3 * 16))
    is "$name: the metadata, by the kernel" "$(says "$vg" 5 | cut -d/ -f2)" $(($4 * 256))
}

# Extending under a writer.
good "a pool with a small thin pool" pool create p /dev/vda /dev/vdb --extent-size 1M --thin-pool 32M
good "a replica with data" replica create p "$A" 200M --thin
fill "/dev/p/$A" one 8
one=$(sum "/dev/p/$A" 8)
good "a replica with a writer" replica create p "$B" 64M --thin
stamps "/dev/p/$B" 256 "$W/b"
good "the data grow" thin extend p --data 48M
that "as asked" "d['data_size'] == 48 << 20 and d['state'] == 'online'"
good "the metadata grow" thin extend p --metadata 4M
good "both grow" thin extend p --data 65000K --metadata 6M
that "to whole extents" "d['data_size'] == 64 << 20 and d['metadata_size'] == 6 << 20"
stamps_end "extended"
stamps_held "all that was acknowledged is there" "/dev/p/$B" 256 "$W/b"
is "what was there before is there" "$(sum "/dev/p/$A" 8)" "$one"
agree "extended under a writer" p 64 6
lvm_ok "LVM finds the VG sound" p
seqno=$(field vgs vg_seqno p)
good "the size that it has is success" thin extend p --data 64M --metadata 6M
is "without a commit" "$(field vgs vg_seqno p)" "$seqno"
bad "less data is refused" InvalidArgument/EINVAL thin extend p --data 32M
bad "less metadata is refused" InvalidArgument/EINVAL thin extend p --metadata 2M
bad "more metadata than the kernel uses is refused" InvalidArgument/EINVAL thin extend p --metadata 16G
bad "more than the disks have is refused" NoSpace/ENOSPC thin extend p --data 1G
bad "of two parts both must fit" NoSpace/ENOSPC thin extend p --data 450M --metadata 100M
usage "what grows must be said" thin extend p

# The tools go on from here, and we from there.
runs "LVM extends the data" lvextend -q -y -L +8m "p/$POOL"
runs "LVM extends the metadata" lvextend -q -y --poolmetadatasize +1m "p/$POOL"
good "we go on" thin extend p --data 80M --metadata 9M
agree "extended after LVM" p 80 9
is "a spare that LVM made has the size of the metadata" "$(field lvs lv_size -a -S 'lv_name=~pmspare' p)" $((9 * MIB))
quiet vgchange -an p
good "an inactive pool is extended, too" thin extend p --data 96M --metadata 10M
lvm_ok "LVM finds the VG sound while it is inactive" p
quiet lvchange -ay -y "p/${POOL}_tmeta"
runs "thin_check finds the kernel's metadata sound" thin_check "/dev/p/${POOL}_tmeta"
quiet lvchange -an -y "p/${POOL}_tmeta"
quiet vgchange -ay p
good "we go on with what LVM activated" thin extend p --data 97M
agree "activated by LVM" p 97 10
is "what was there is there" "$(sum "/dev/p/$A" 8)" "$one"
stamps_held "what was acknowledged is there" "/dev/p/$B" 256 "$W/b"
runs "LVM takes no offence" lvextend -q -y -L 98m "p/$POOL"
lvm_ok "LVM finds the VG sound after all" p

# Killed under a writer: at each write of the commit, when the pool stands still, and at each call to the kernel from the
# first on that changes something.
fits() { # NAME VG: the kernel has what the metadata say, and nothing stands still.
    local part layer want why sizes
    ask leaks; why=$REPLY
    sizes=$(lvs -a --noheadings --units s --nosuffix -o lv_name,lv_size "$2" 2>&1)
    for part in _tdata _tmeta -tpool; do
        layer=$2-${POOL/-/--}$part
        want=$(awk -v "name=$POOL${part%-tpool}" '{gsub(/[][]/, "", $1)} $1 == name {print $2}' <<<"$sizes")
        [ "$(dmsetup table "$layer" | awk '{n += $2} END {print n}')" = "$want" ] || why+="; $layer is not '$want': $(dmsetup table "$layer")"
    done
    is "$1" "$why" ""
}
# The number of the first CALL of an extension at or after the first one that changes something of the kernel's.
first() { # WHAT CALL SIZE
    strace -qq -e trace=ioctl,pwrite64 -o "$W/calls" poolctl thin extend p --"$1" "$3" >/dev/null
    awk -v "call=$2" '/DM_TABLE_LOAD/ {late = 1} index($0, call "(") == 1 {n++; if (late) {print n; exit}}' "$W/calls"
}
cuts() { # WHAT CALL: kills extensions by a MiB each, and opens the pool again.
    local what=$1 call=$2 number
    size=$((size + 1))
    number=$(first "$what" "$call" "${size}M")
    sweep 3
    for ((number += FIRST - 1; ; number += STRIDE)); do
        size=$((size + 1))
        ask cut "$call" "$number" thin extend p --"$what" ${size}M
        [ "$REPLY" = killed ] || break
        settle
        quiet poolctl pool import p /dev/vda /dev/vdb
        fits "$what killed at $call $number recovers" p
    done
}
stamps "/dev/p/$B" 256 "$W/b"
size=98; cuts data pwrite64
size=10; cuts metadata ioctl
stamps_end "killed"
swept "it was killed at many moments" 8
stamps_held "all that was acknowledged is there" "/dev/p/$B" 256 "$W/b"
is "the rest is there" "$(sum "/dev/p/$A" 8)" "$one"
lvm_ok "LVM finds it sound" p
good "the pool goes" pool destroy p

# Full to the brim, and writes fail.
good "a pool" pool create e /dev/vda --extent-size 1M
good "whose writes fail when it is full" thin create e 8M --error-if-no-space
good "a replica that goes" replica create e "$B" 8M --thin
fill "/dev/e/$B" two 2
good "a replica that fills it" replica create e "$A" 64M --thin
said=$(stamp write "/dev/e/$A" 4096 "$W/a" 2>&1)
is "the writer of a full pool is told" "$(grep -o 'No space left on device' <<<"$said")" "No space left on device"
runs "nothing that was acknowledged is lost" stamp check "/dev/e/$A" 4096 "$W/a"
good "a full pool is shown" pool show e
that "as one that serves in part" "d['state'] == 'degraded' and d['thin_pool']['state'] == 'out_of_data_space' and d['thin_pool']['data_used'] == 8 << 20 and any('out_of_data_space' in r for r in d['reasons'])"
good "so is its replica" replica show "$A"
that "in a degraded state" "d['health']['state'] == 'degraded'"
bad "nothing new is taken" NoSpace/ENOSPC replica create e "$C" 8M --thin
good "a replica goes all the same" replica destroy "$B"
good "the pool has room again" pool show e
that "and is well" "d['state'] == 'online' and d['thin_pool']['state'] == 'online' and d['thin_pool']['data_used'] == 6 << 20"
said=$(stamp write "/dev/e/$A" 4096 "$W/a" 2>&1)
is "it is full again" "$(says e 8)" out_of_data_space
good "and extended" thin extend e --data 20M
that "it is well" "d['state'] == 'online' and d['data_size'] == 20 << 20"
runs "the writer goes on" stamp write "/dev/e/$A" 4096 "$W/a" 1000
runs "all that was acknowledged is there" stamp check "/dev/e/$A" 4096 "$W/a"
lvm_ok "LVM finds the VG sound" e

# Full to the brim, and writes wait.
good "another pool" pool create f /dev/vdb --extent-size 1M --thin-pool 8M
good "a replica that fills it" replica create f "$B" 64M --thin
nice python3 /opt/vm/stamp.py write "/dev/f/$B" 3072 "$W/f" 3072 & writer=$!
runs "it is full" until_full f
good "a full pool is extended, and its writer with it" thin extend f --data 16M
wait $writer
is "the writer waited and met no error" $? 0
runs "all that was acknowledged is there" stamp check "/dev/f/$B" 3072 "$W/f"

# The monitor goes before the writer, up to the limit and no further.
good "a third pool" pool create m /dev/vdc --extent-size 1M
good "that fails writes when it is full" thin create m 8M --error-if-no-space
good "a replica to fill" replica create m "$C" 64M --thin
poolctl --json thin monitor m --threshold 60 --step 4M --max 18M >"$W/actions" 2>&1 & monitor=$!
# Its mark: 3.2 MiB of 8 in chunks.
runs "the kernel is told to tell of the threshold" await 20 '[ "$(dmsetup table "$(tpool m)" | cut -d" " -f7)" = 51 ]'
runs "a writer beside the monitor never meets an error" stamp write "/dev/m/$C" 3072 "$W/m" 3072
await 20 grep -q at_max "$W/actions"
runs "all that was acknowledged is there" stamp check "/dev/m/$C" 3072 "$W/m"
sleep 1
kill $monitor; wait $monitor 2>/dev/null
note "the monitor: $(tr '\n' ' ' <"$W/actions")"
python3 -c 'import json, sys; print(json.dumps([json.loads(line) for line in open(sys.argv[1])]))' "$W/actions" >"$W/actions.json"
that "it grew by the step up to the limit" "[(a['what'], a['from'] >> 20, a['to'] >> 20) for a in d if a['action'] == 'extended'] == [('data', 8, 12), ('data', 12, 16), ('data', 16, 18)]" "$W/actions.json"
that "and said once that it may not go on" "[a['size'] >> 20 for a in d if a['action'] == 'at_max'] == [18]" "$W/actions.json"
is "LVM has that size" "$(field lvs lv_size "m/$POOL")" $((18 * MIB))
lvm_ok "LVM finds the VG sound" m

once() { poolctl --json thin monitor m --once "$@" >"$W/once" 2>"$W/once.err"; RC=$?; head -1 "$W/once" >"$O"; tail -1 "$W/once" >"$R"; }
once --threshold 60 --step 8M
that "a single look acts as well" "(d['action'], d['from'] >> 20, d['to'] >> 20) == ('extended', 18, 26)"
that "and shows the pool" "d['data_size'] == 26 << 20 and d['state'] == 'online'" "$R"
once --threshold 60
that "and does nothing where nothing is to be done" "d['data_size'] == 26 << 20"
good "a thick replica takes most of the rest" replica create m "$D" 200M
free=$(field vgs vg_free m)
once --threshold 20 --step 64M
that "the monitor takes what is left" "d['action'] == 'extended' and d['to'] - d['from'] == $free"
once --threshold 20 --step 64M
that "and then says that nothing is left" "d['action'] == 'no_space' and d['free'] == 0"
is "which is no failure" "$RC" 0

# Short of metadata.
good "the thick replica goes" replica destroy "$D"
good "a snapshot" snapshot create "$C" "$S" --name n/1 --txn 1 --entity-id e
crowd m 370
good "a pool short of metadata is shown" pool show m
that "with the reason" "any('short of metadata' in r for r in d['reasons'])"
bad "a snapshot is refused then" NoSpace/ENOSPC snapshot create "$C" "$T" --name n/2 --txn 2 --entity-id e
bad "so is a replica" NoSpace/ENOSPC replica create m "$D" 8M --thin
good "a snapshot goes all the same" snapshot destroy "$S"
once --threshold 100
that "the monitor adds metadata" "d['action'] == 'extended' and d['what'] == 'metadata' and d['from'] == 2 << 20"
good "then there is room again" snapshot create "$C" "$T" --name n/2 --txn 2 --entity-id e
good "a replica goes, too" replica destroy "$C"
lvm_ok "LVM finds the VG sound" m
for pool in e f m; do good "$pool goes" pool destroy $pool; done
is "no device is left" "$(dmsetup ls | grep -c 'mayastor')" 0
