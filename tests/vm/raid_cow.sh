# gate: trixie-udev trixie-noudev
# Classic snapshots of arrays, beside the real tools.
. /opt/vm/lib.sh
frail 5 72
# The kernel notes the state of arrays when it likes: that a refusal writes nothing is tested on the host.
WATCH=""
disk_of() { field lvs devices -a "p/${1}_rimage_$2" | sed 's/(.*//; s/.*disk//'; }
A=$(uuid 0xa) B=$(uuid 0xb) S=$(uuid 0x51) T=$(uuid 0x52)
devices() { dmsetup ls | grep -c '^p-'; }
# take NAME REPLICA UUID SIZE
take() { good "$1" snapshot create "$2" "$3" --name "n/$3" --txn 1 --entity-id e --size "$4"; }
# What the kernel has of an array with a snapshot, but for numbers of devices, names, ids, and words by size.
form() { # ORIGIN SNAPSHOT
    local layer origin snap tables infos
    origin=$(dmname p "$1") snap=$(dmname p "$2")
    tables=$(dmsetup table | sort)
    infos=$(dmsetup info -c --noheadings --separator ' ' -o name,uuid,attr,segments | sort)
    for layer in "$origin" "$origin-real" "${origin}_r[a-z]+_[0-9]" "$snap" "$snap-cow"; do
        grep -E "^$layer: " <<<"$tables" | sed -E 's/^[^ ]* //; s/[0-9]+:[0-9]+/DEV/g; s/(linear DEV) [0-9]+/\1/'
        grep -E "^$layer " <<<"$infos" | sed -E 's/^[^ ]* //; s/LVM-.{64}//'
        grep -qE "^$layer " <<<"$infos" || echo "no $layer"
    done
}
number() { acknowledged "$W/seq-$1"; }
begun() { local file=$1; await 10 '[ "$(number "$file")" -gt 100 ]'; }
stop() { # NAME UUID...
    local name=$1 writer; shift
    stamps_end "$name"
    for writer in "$@"; do stamps_held "$name: each of its writes is there" "/dev/p/$writer" 1024 "$W/seq-$writer"; done
}

good "a pool" pool create p "${D[@]}" --extent-size 1M
for layout in raid1:2 raid5:2; do
    if [ $layout = raid1:2 ]; then theirs="--type raid1 -m 1" images=4; else theirs="--type raid5 -i 2" images=6; fi
    good "$layout: a replica" replica create p "$A" 16M --layout $layout
    fill "/dev/p/$A" $layout 16; held=$(sum "/dev/p/$A" 16)
    take "$layout: a snapshot" "$A" "$S" 8M
    lvm_ok "$layout: LVM finds it sound" p
    runs "$layout: LVM makes an array" lvcreate -q -y -Wn -n twin -L 16m $theirs p
    runs "$layout: and a snapshot of it" lvcreate -q -y -s -pr -n theirs -L 8m p/twin
    in_sync p twin; in_sync p "$A"
    is "$layout: what the kernel has of both is the same" "$(form "$A" "$S")" "$(form twin theirs)"
    is "$layout: so has LVM" "$(field lvs lv_attr,origin_size "p/$A")" "$(field lvs lv_attr,origin_size p/twin)"
    fill "/dev/p/$A" new 4
    is "$layout: it holds what the replica held" "$(sum "/dev/p/$S" 16)" "$held"
    [ $layout = raid5:2 ] || bad "$layout: its origin is not converted" HasSnapshots/EBUSY replica convert "$A" --layout linear
    bad "$layout: its origin is not destroyed" HasSnapshots/EBUSY replica destroy "$A"
    bad "$layout: nor does it grow" HasSnapshots/EBUSY replica resize "$A" 32M
    runs "$layout: LVM removes the snapshot" lvremove -q -y "p/$S"
    take "$layout: another one" "$A" "$S" 8M
    runs "$layout: LVM makes one beside it" lvcreate -q -y -s -pr -n beside -L 8m "p/$A"
    held=$(sum "/dev/p/$A" 16)
    good "$layout: the replica is deactivated" replica deactivate "$A"
    is "$layout: with all devices" "$(dmsetup ls | grep -cE "^$(dmname p "$A")|^p-beside")" 0
    runs "$layout: LVM activates it" lvchange -q -ay "p/$A"
    is "$layout: with the snapshot as it was" "$(sum "/dev/p/$S" 16)" "$held"
    runs "$layout: and deactivates it" lvchange -q -an "p/$A"
    good "$layout: it is activated" replica activate "$A"
    is "$layout: the snapshot is as it was" "$(sum "/dev/p/$S" 16)" "$held"
    good "$layout: ours goes" snapshot destroy "$S"
    is "$layout: theirs is as it was" "$(sum /dev/p/beside 16)" "$held"
    runs "$layout: theirs goes" lvremove -q -y p/beside
    is "$layout: the replica is plain again" "$(dmsetup ls | grep -c "^$(dmname p "$A")")" $((images + 1))
    runs "$layout: LVM removes its own" lvremove -q -y p/twin
    [ $layout = raid5:2 ] || good "$layout: it goes" replica destroy "$A"
done
lvm_ok "LVM finds the VG sound" p

# Under I/O.
good "a replica of copies" replica create p "$B" 16M --layout raid1:2
for u in "$A" "$B"; do dd if=/dev/zero of="/dev/p/$u" bs=1M count=4 oflag=direct status=none; stamps "/dev/p/$u" 1024 "$W/seq-$u"; begun "$u"; done
declare -A low high held
for u in "$A" "$B"; do
    for round in 1 2; do
        take "a snapshot of $u" "$u" "$S" 8M
        note "the writer stood still for $(q "d['stall_us']") us"
        good "its store grows" snapshot resize "$S" 12M
        good "it goes" snapshot destroy "$S"
    done
done
low=$(number "$B"); take "a snapshot that stays" "$B" "$S" 16M; high=$(($(number "$B") + 1))
stamps_cut "it is a clean cut" "/dev/p/$S" 1024 "$low" "$high"
in_sync p "$A"; in_sync p "$B"
lvm_ok "LVM finds it sound" p

# A disk fails.
s=$(sum "/dev/p/$S" 16)
gone=$(disk_of "$B" 0)
break_disk "$gone"
degraded p "$B"
good "the replica is degraded" replica show "$B"
that "as is shown" "d['health']['state'] == 'degraded' and d['health']['images'][0]['state'] in ('failed', 'missing')"
is "the snapshot is as it was" "$(sum "/dev/p/$S" 16)" "$s"
good "it is repaired" replica repair "$B"
in_sync p "$B"
good "it is whole" replica show "$B"
that "as is shown" "d['health']['state'] == 'online'"
is "the snapshot is as it was, still" "$(sum "/dev/p/$S" 16)" "$s"
stamps_cut "and a clean cut" "/dev/p/$S" 1024 "$low" "$high"
pc replica repair "$A"
in_sync p "$A"
stop "repaired" "$A" "$B"
mend_disk "$gone"
good "the disk is taken back" pool repair p
lvm_ok "LVM finds what was repaired sound" p

# Without a disk it is activated when asked for.
good "the replica is deactivated" replica deactivate "$B"
is "with all parts" "$(dmsetup ls | grep -c "^$(dmname p "$B")")" 0
good "so is the other" replica deactivate "$A"
gone=$(disk_of "$B" 1)
[ "$(field lvs devices "p/$S" | sed 's/(.*//; s/.*disk//')" != "$gone" ] || gone=$(disk_of "$B" 0)
break_disk "$gone"
pc replica activate "$B"
is "not without an image" "$RC" 1
good "but when asked for" replica activate "$B" --degraded
that "it is degraded" "d['active'] and d['health']['state'] == 'degraded'"
is "the snapshot is as it was, without it" "$(sum "/dev/p/$S" 16)" "$s"
good "it is deactivated again" replica deactivate "$B"
mend_disk "$gone"
good "the disk is back" pool repair p
good "and the replica" replica activate "$B"
in_sync p "$B"

# Killed at each call of the kernel.
good "the snapshot goes" snapshot destroy "$S"
fill "/dev/p/$B" keep 16; keep=$(sum "/dev/p/$B" 16)
sweep 12
for ((number = 35 + FIRST; ; number += STRIDE)); do
    through=0
    for what in create destroy; do
        args=(snapshot $what "$T")
        [ $what = destroy ] || args=(snapshot create "$B" "$T" --name n --txn 1 --entity-id e --size 8M)
        ask cut ioctl $number "${args[@]}"
        [ "$REPLY" = killed ] || through=$((through + 1))
        settle
        good "$what killed at $number is mended" pool import p "${D[@]}"
        pc "${args[@]}"
        case $RC:$(cat "$O") in 0:* | 1:*AlreadyExists* | 1:*SnapshotNotFound*) ;; *) no "$what killed at $number goes on" "$(said)" ;; esac
        is "$what killed at $number: the data is there" "$(sum "/dev/p/$B" 16)" "$keep"
        want=$([ $what = create ] && echo 8 || echo 5)
        is "$what killed at $number: all devices are there" "$(dmsetup ls | grep -cE "^$(dmname p "$B")|^$(dmname p "$T")")" "$want"
    done
    [ $through -lt 2 ] || break
done
swept "it was killed at many moments" 60
in_sync p "$B"
runs "LVM scrubs the copies" lvchange -q --syncaction check "p/$B"
in_sync p "$B"
is "and finds no mismatch" "$(field lvs raid_mismatch_count "p/$B")" 0
lvm_ok "LVM finds it sound at last" p
good "the pool goes" pool destroy p
is "no device is left" "$(devices)" 0
