# gate: bookworm-noudev trixie-noudev
# Classic copy-on-write snapshots of thick replicas, beside the real tools.
. /opt/vm/lib.sh
A=$(uuid 0xa) B=$(uuid 0xb) C=$(uuid 0xc) S=$(uuid 0x51) T=$(uuid 0x52) V=$(uuid 0x53)
WATCH="/dev/vda /dev/vdb"
devices() { dmsetup ls | grep -c '^p-'; }
# take NAME REPLICA UUID SIZE
take() { good "$1" snapshot create "$2" "$3" --name "n/$3" --txn 1 --entity-id e --size "$4"; }
refuse() { bad "$1" "$2" snapshot create "$3" "$V" --name n/1 --txn 1 --entity-id e "${@:4}"; }
# What the kernel has of an origin or snapshot, but for names, ids and the number of its store.
form() {
    local layer
    for layer in "$@"; do
        dmsetup table "$layer" | sed -E 's/ [0-9]+:[0-9]+ P/ STORE P/'
        dmsetup info -c --noheadings -o uuid,attr,segments "$layer" | sed -E 's/LVM-.{64}//'
    done
}

good "a pool" pool create p /dev/vda /dev/vdb
good "a replica" replica create p "$A" 16M
fill "/dev/p/$A" one 16; one=$(sum "/dev/p/$A" 16)
refuse "without a size it is refused" NotThin/ENOTSUP "$A"
refuse "so is less than three chunks" InvalidArgument/EINVAL "$A" --size 11K
take "a snapshot" "$A" "$S" 6M
that "it is what was asked for" "d['uuid'] == '$S' and d['name'] == 'n/$S' and d['source_uuid'] == '$A' and d['txn_id'] == '1' and d['valid'] and d['kind'] == 'cow'"
that "its store is of whole extents and nearly empty" "d['size'] == 16 << 20 and d['store_size'] == 8 << 20 and d['store_used'] == d['allocated'] < 1 << 16 and d['num_clones'] == 0"
note "the replica stood still for $(q "d['stall_us']") us"
lvm_ok "LVM finds the VG sound with it" p
is "LVM sees a read-only snapshot" "$(field lvs lv_attr,origin,lv_size,origin_size "p/$S" | tr -s ' ')" "sri-a-s--- $A 8388608 16777216"
is "the origin is one to LVM" "$(field lvs lv_attr "p/$A")" "owi-a-s---"
runs "LVM makes another" lvcreate -q -y -s -pr -n theirs -L 8m "p/$A"
is "what the kernel has of both is the same" "$(form "$(dmname p "$S")" "$(dmname p "$S")-cow" | sed 's/[0-9:]* [0-9]*$//')" "$(form p-theirs p-theirs-cow | sed 's/[0-9:]* [0-9]*$//')"
fill "/dev/p/$A" two 4
is "both hold what the replica held" "$(sum "/dev/p/$S" 16) $(sum /dev/p/theirs 16)" "$one $one"
good "what was overwritten is in the store" snapshot show "$S"
that "with what tells where" "4 << 20 < d['store_used'] < 5 << 20 and d['allocated'] == d['store_used']"
good "theirs is foreign" pool show p
that "by name" "d['foreign_lvs'] == ['theirs']"
good "ours is listed" snapshot list "$A"
that "alone" "[s['uuid'] for s in d] == ['$S']"
bad "again is refused" AlreadyExists/EEXIST snapshot create "$A" "$S" --name n --txn 1 --entity-id e --size 4M
bad "a clone of it is refused" NotThin/ENOTSUP clone create "$S" "$C" --name c
bad "its origin is not destroyed" HasSnapshots/EBUSY replica destroy "$A"
that "and they are named" "'$S, theirs' in d['error']['message']"
runs "LVM removes ours" lvremove -q -y "p/$S"
bad "it is gone" SnapshotNotFound/ENOENT snapshot show "$S"
runs "LVM removes its own" lvremove -q -y p/theirs
is "the replica is plain again" "$(devices) $(field lvs lv_attr "p/$A")" "1 -wi-a-----"

# Snapshots are clean cuts of a writer's stream, and never change.
dd if=/dev/zero of="/dev/p/$A" bs=1M count=4 oflag=direct status=none
stamps "/dev/p/$A" 1024 "$W/seq"
number() { acknowledged "$W/seq"; }
await 10 '[ "$(number)" -gt 200 ]'
declare -A low high held
for snap in "$S" "$T" "$V"; do
    low[$snap]=$(number)
    take "a snapshot under I/O" "$A" "$snap" 12M
    note "the writer stood still for $(q "d['stall_us']") us"
    high[$snap]=$(($(number) + 1))
    held[$snap]=$(sum "/dev/p/$snap" 16)
done
good "one goes under I/O" snapshot destroy "$T"
good "another's store grows under I/O" snapshot resize "$S" 14M
that "to whole extents" "d['store_size'] == 16 << 20 and d['valid']"
good "more than it can use is cut" snapshot resize "$S" 1G
that "to that" "d['store_size'] == 20 << 20"
for snap in "$S" "$V"; do
    stamps_cut "it is a clean cut" "/dev/p/$snap" 1024 "${low[$snap]}" "${high[$snap]}"
    is "and did not change" "$(sum "/dev/p/$snap" 16)" "${held[$snap]}"
done
good "the others go, too" snapshot destroy "$V"
stamps_end "snapshots"
stamps_held "every acknowledged write is there" "/dev/p/$A" 1024 "$W/seq"
is "of all devices one group is left" "$(devices)" 4
lvm_ok "LVM finds the VG sound" p

bad "a store does not shrink" InvalidArgument/EINVAL snapshot resize "$S" 8M
bad "an active origin does not grow" HasSnapshots/EBUSY replica resize "$A" 32M
bad "nor shrink" HasSnapshots/EBUSY replica resize "$A" 8M --allow-shrink
exec 7<"/dev/p/$S"
bad "a snapshot in use is not destroyed" Busy/EBUSY snapshot destroy "$S"
bad "nor is its origin deactivated" Busy/EBUSY replica deactivate "$A"
exec 7<&-
good "the origin is deactivated" replica deactivate "$A"
is "and all with it" "$(devices)" 0
good "an inactive origin grows" replica resize "$A" 32M
good "an inactive snapshot tells its store's size" snapshot show "$S"
that "and the origin's when it was taken" "d['size'] == 16 << 20 and d['allocated'] == d['store_size'] == 20 << 20 and d['store_used'] is None and d['valid']"
good "a snapshot of an inactive origin" snapshot create "$A" "$V" --name n/1 --txn 1 --entity-id e --size 4M
that "stops nobody" "d['stall_us'] == 0 and d['size'] == 32 << 20"
good "the origin is activated" replica activate "$A"
is "and all with it, too" "$(devices)" 6
is "the old snapshot is as it was" "$(sum "/dev/p/$S" 16)" "${held[$S]}"
is "the new one is the origin" "$(sum "/dev/p/$V" 32)" "$(sum "/dev/p/$A" 32)"
[ "$UDEV" = noudev ] || is "udev prefers the origin's links" "$(udevadm info -q property "/dev/p/$V" | grep -c DM_UDEV_LOW_PRIORITY_FLAG=1)" 1
lvm_ok "LVM finds the VG sound with both" p

# A store that is full.
good "another replica" replica create p "$B" 16M
take "with a small snapshot" "$B" "$T" 4M
fill "/dev/p/$B" three 16; three=$(sum "/dev/p/$B" 16)
good "it is lost" snapshot show "$T"
that "and says so" "not d['valid'] and d['store_used'] is None and d['allocated'] == d['store_size'] == 4 << 20"
is "LVM says the same" "$(field lvs lv_attr "p/$T")" "sri-I-s---"
bad "more space does not help" SnapshotLost/EBUSY snapshot resize "$T" 8M
good "the other snapshots" snapshot list
that "are well" "{s['uuid']: s['valid'] for s in d} == {'$S': True, '$V': True, '$T': False}"
good "its origin is deactivated" replica deactivate "$B"
good "it is lost without devices, too" snapshot show "$T"
that "by its store" "not d['valid']"
good "it goes while inactive" snapshot destroy "$T"
good "its origin comes back" replica activate "$B"
is "unharmed" "$(sum "/dev/p/$B" 16)" "$three"
good "and goes" replica destroy "$B"

good "export takes all devices away" pool export p
is "there are none" "$(devices)" 0
runs "LVM activates the group" vgchange -q -ay p
is "with the snapshots as they were" "$(sum "/dev/p/$S" 16)" "${held[$S]}"
is "and devices as ours" "$(devices)" 6
good "we take over what it activated" pool import p /dev/vda /dev/vdb
good "one of the snapshots goes" snapshot destroy "$V"
is "the other stays as it was" "$(sum "/dev/p/$S" 16)" "${held[$S]}"
good "a thin pool beside them" thin create p 16M
good "with a replica" replica create p "$B" 16M --thin
refuse "of a thin one it has no size" InvalidArgument/EINVAL "$B" --size 8M
good "the pool goes with all" pool destroy p
is "no device is left" "$(devices)" 0

# A poolctl that is killed at any moment: the next one finishes or undoes what was cut.  (Commits that reached one of several
# disks are for killed.sh.)
good "a pool" pool create p /dev/vda
good "a replica" replica create p "$A" 8M
fill "/dev/p/$A" keep 8; keep=$(sum "/dev/p/$A" 8)
take "with a snapshot" "$A" "$S" 4M
# All or nothing of the second snapshot, and of the first one nothing changed.
recovers() { # NAME SNAPSHOTS
    ask good pool import p /dev/vda
    local why=$REPLY snap found snaps=$2
    found=$(lvs --noheadings -o lv_name p | tr -d ' ')
    grep -q "$T" <<<"$found" && snaps+=" $T"
    [ "$(wc -l <<<"$found")" = $((1 + $(wc -w <<<"$snaps"))) ] || why+=" LVs: $found"
    set -- "$1" $snaps
    [ "$(devices)" = $(($# > 1 ? 2 * $# : 1)) ] || why+=" devices: $(dmsetup ls) LVs: $found"
    for snap in "$A" $snaps; do [ "$(sum "/dev/p/$snap" 8)" = "$keep" ] || why+=" $snap changed"; done
    REPLY=$why
    verdict "$1"
}
cut_all() { # WHAT SNAPSHOTS BEFORE "CALLS" ARGS...
    local what=$1 snaps=$2 before=$3 calls=$4 call number; shift 4
    for call in $calls; do
        # The first ioctls are of the look for disks.
        sweep 4
        for ((number = ${call#*:} + FIRST - 1; ; number += STRIDE)); do
            $before
            ask cut ${call%:*} $number "$@"
            [ "$REPLY" = killed ] || break
            settle
            recovers "$what killed at ${call%:*} $number recovers" "$snaps"
        done
    done
    swept "$what was killed at many moments" 5
    lvm_ok "LVM finds it sound after $what" p
}
second=(snapshot create "$A" "$T" --name n/2 --txn 2 --entity-id e --size 4M)
there() { pc "${second[@]}"; }
gone() { pc snapshot destroy "$T"; }
# To kills at writes to the disks udevd is nothing, and with it the rest takes twice as long.
writes="pwrite64:1 "
if [ "$UDEV" = noudev ]; then
    cut_all "destroy of one of two" "$S" there "ioctl:9" snapshot destroy "$T"
    gone
else
    writes=
fi
good "the first snapshot goes" snapshot destroy "$S"
cut_all "create of the first" "" gone "${writes}ioctl:9" "${second[@]}"
cut_all "destroy of the last" "" there "${writes}ioctl:9" snapshot destroy "$T"
good "the pool goes" pool destroy p
ask leaks; is "nothing is left over" "$REPLY" ""
is "no device is left at the end" "$(devices)" 0
