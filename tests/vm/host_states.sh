# gate: trixie-udev
# States into which a host gets by hand: devices that stand still, a thin pool of another
# moment, nodes that are gone, two monitors, a clock that jumps, a disk that hangs, a name that is taken.
. /opt/vm/lib.sh
A=$(uuid 0xa) B=$(uuid 0xb) C=$(uuid 0xc) D=$(uuid 0xd)
TPOOL=p-mayastor--thinpool-tpool
# What must not hang: an answer, whatever state the devices are in.
answers() { # NAME ARGS...
    local name=$1; shift
    pc "$@"
    if [ "$RC" = 0 ]; then ok "$name"; else no "$name" "$(said)"; fi
}
stands() { [ "$(dmsetup info -c --noheadings -o suspended "$1")" = Suspended ]; }
good "a pool with a thin pool" pool create p /dev/vda /dev/vdb /dev/vdc --extent-size 1M --thin-pool 32M
good "a replica" replica create p "$A" 8M
good "an array" replica create p "$B" 8M --layout raid1:2
good "a thin replica" replica create p "$C" 16M --thin
in_sync p "$B"

# A device was stopped, and never let go on.
stopped() { # WHAT DEVICE REPLICA SIZE
    quiet dmsetup suspend --noflush --nolockfs "$2"
    answers "$1 stands still: its replica is shown" replica show "$3"
    that "$1 stands still: as one that is there" "d['active'] and d['uuid'] == '$3'"
    answers "$1 stands still: all are listed" replica list
    answers "$1 stands still: the pool is shown" pool show p
    runs "$1 stands still: questions leave it so" stands "$2"
    good "$1 stands still: a resize has it go on" replica resize "$3" "$4"
    quiet dmsetup suspend --noflush --nolockfs "$2"
    good "$1 stands still: a destruction ends" replica destroy "$3"
}
stopped "a replica" "$(dmname p "$A")" "$A" 12M
stopped "an image" "$(dmname p "$B")_rimage_0" "$B" 12M
stopped "a thin pool" $TPOOL "$C" 24M

# The thin pool is of another moment in the kernel than in LVM's metadata.
good "a thin replica" replica create p "$C" 16M --thin
id=$(field lvs transaction_id p/mayastor-thinpool)
vgcfgbackup -q -q -f "$W/backup" p
sed -i "s/transaction_id = $id\$/transaction_id = 20/" "$W/backup"
quiet vgcfgrestore -q -q --force --yes -f "$W/backup" p
quiet dmsetup message $TPOOL 0 "set_transaction_id $id 20"
good "both are at 20" thin status p
now=20
for other in 21 24 29 19 16 11; do
    quiet dmsetup message $TPOOL 0 "set_transaction_id $now $other"; now=$other
    good "$other: the replica is shown" replica show "$C"
    good "$other: the pool is shown" pool show p
    that "$other: with what is wrong" "any('$other' in reason and '20' in reason for reason in d['reasons'])"
    WATCH=
    bad "$other: no thin replica is made" ThinPoolMismatch/EBUSY replica create p "$D" 8M --thin
    that "$other: both ids are told" "'$other' in d['error']['message'] and '20' in d['error']['message']"
    bad "$other: none goes" ThinPoolMismatch/EBUSY replica destroy "$C"
    WATCH=$DISKS
done
fails "LVM does not change it, either" lvcreate -q -y -V 8m --thinpool mayastor-thinpool -n other p
good "a thick replica is made" replica create p "$A" 8M
is "the thin device is where it was" "$(dmsetup status --noflush $TPOOL | cut -d' ' -f4)" $now
quiet lvchange -q -an "p/$C"
bad "with the thin pool active it is not activated" ThinPoolMismatch/EBUSY replica activate "$C"
quiet vgchange -q -an p
fails "LVM does not activate it" lvchange -q -ay "p/$C"
bad "nor do we" ThinPoolMismatch/EBUSY replica activate "$C"
quiet dmsetup message $TPOOL 0 "set_transaction_id $now 20"
good "of one moment, it is activated" replica activate "$C"
good "and so is the thick one" replica activate "$A"

# Nodes that are gone.
MAPPED=$(dmname p "$A")
both() { [ "/dev/p/$A" -ef "/dev/mapper/$MAPPED" ]; }
gone() { rm -f "/dev/p/$A" "/dev/mapper/$MAPPED"; }
gone
quiet vgmknodes p
runs "LVM puts nodes back" both
gone
answers "without nodes a replica is shown" replica show "$A"
answers "and listed" replica list p
answers "and read" replica read "$A" 0 4096
runs "what opens the pool puts the nodes back" both
gone
good "a resize does" replica resize "$A" 12M
runs "and they are there" both
gone
good "an activation does" replica activate "$A"
runs "and they are there again" both
gone
good "a destruction needs none" replica destroy "$A"

# Two monitors of one thin pool, and two of arrays.
monitor() { exec poolctl --json thin monitor p --threshold 50 --step 20% >"$OUT/monitor-$1" 2>&1; }
monitor one & one=$!
monitor two & two=$!
good "an array" replica create p "$B" 8M --layout raid1:2
poolctl --json replica events p >"$OUT/events-one" 2>&1 & events=$!
poolctl --json replica events p >"$OUT/events-two" 2>&1 & events="$events $!"
size=$(field lvs lv_size p/mayastor-thinpool)
good "a larger thin replica" replica create p "$D" 64M --thin
good "an array that grows" replica resize "$B" 12M
fill "/dev/p/$D" seed 48
# The threshold is 60 %; by steps, which take some looks.
await 30 '[ "$(field lvs lv_size p/mayastor-thinpool)" -gt $(((48 << 20) * 10 / 6)) ]'
sleep 1
kill $one $two $events
wait $one $two $events 2>/dev/null
cat "$OUT/monitor-one" "$OUT/monitor-two" | python3 -c '
import json, sys
steps = [line for line in map(json.loads, sys.stdin) if line.get("action") == "extended" and line["what"] == "data"]
json.dump(sorted(steps, key=lambda step: step["from"]), sys.stdout)' >"$O"
that "the pool grew step by step, each once" "d[0]['from'] == $size and all(a['to'] == b['from'] for a, b in zip(d, d[1:])) and d[-1]['to'] == $(field lvs lv_size p/mayastor-thinpool)"
is "and no monitor met an error" "$(cat "$OUT"/monitor-* "$OUT"/events-* | grep -ci error)" 0
note "$(q "len(d)") steps by two monitors"

# A clock that jumps.
exec 9>/run/lock/lvm/V_p
flock 9
poolctl --json --timeout 50 replica destroy "$D" >"$W/jump" 2>&1 & waiter=$!
sleep 1
quiet date -s '+1 hour'
sleep 1
flock -u 9
wait $waiter
is "a clock that jumps forward makes no wait shorter" "$? $(cat "$W/jump")" "0 {}"
flock 9
poolctl --json --timeout 4 replica destroy "$C" >"$W/jump" 2>&1 & waiter=$!
sleep 1
quiet date -s '-2 hours'
wait $waiter
is "nor one that jumps back a wait longer" "$? $(grep -c LockTimeout "$W/jump")" "1 1"
flock -u 9
quiet date -s '+1 hour'

# A foreign disk hangs: one that stands still, and one over it.
loops 1 16
quiet dmsetup create still --table "0 20480 linear ${LOOPS[0]} 0"
quiet dmsetup create upon --table "0 16384 linear /dev/mapper/still 0"
settle
quiet dmsetup suspend --noflush --nolockfs still
answers "beside a disk that hangs pools are listed" pool list
that "with ours" "[pool['name'] for pool in d] == ['p']"
is "and with what could not be looked at" "$(grep -c '"DiskInUse".*mapper/\(still\|upon\)' "$E")" 2
answers "a replica is made" replica create p "$A" 8M
answers "and destroyed, with the pool's disks named" --device /dev/vda --device /dev/vdb --device /dev/vdc replica destroy "$A"
quiet dmsetup resume still
quiet dmsetup remove upon
quiet dmsetup remove still
settle

# A foreign device has the name of a replica's.
quiet dmsetup create "$(dmname p "$A")" --uuid THEIRS-1 --table "0 8 zero"
settle
WATCH=
bad "a replica whose name is taken is not made" DeviceTaken/EBUSY replica create p "$A" 8M
that "both devices are named" "'THEIRS-1' in d['error']['message'] and '$(dmname p "$A")' in d['error']['message']"
WATCH=$DISKS
runs "and theirs stays" dmsetup info "$(dmname p "$A")"
quiet dmsetup remove "$(dmname p "$A")"
settle
good "the name is free again" replica create p "$A" 8M
good "the pool goes" pool destroy p
