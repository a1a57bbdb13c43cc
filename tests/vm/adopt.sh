# gate: trixie-udev trixie-noudev
# LVs that the tools made become replicas, in place and while they are written, and stay LVs for the tools.
. /opt/vm/lib.sh
loops 4 120
# The kernel notes the state of arrays when it likes: that a refusal writes nothing is tested on the host.
WATCH=""
N=$(uuid 0xee)
declare -A U
kinds="linear striped raid1 raid5 thin"
number=10; for kind in $kinds; do U[$kind]=$(uuid $number); number=$((number + 1)); done
devices() { dmsetup ls | grep -c "^v-$1"; }

quiet vgcreate -q -s 1m v "${LOOPS[@]}"
quiet lvcreate -q -y -Wn -n pvc-linear -L 24m v
quiet lvcreate -q -y -Wn -n pvc-striped -i2 -L 8m v
quiet lvcreate -q -y -Wn -n pvc-raid1 --type raid1 -m1 -L 8m v
quiet lvcreate -q -y -Wn -n pvc-raid5 --type raid5 -i2 -L 8m v
quiet lvcreate -q -y --type thin-pool -n v_thinpool -L 32m v
quiet lvcreate -q -y -V 16m -n pvc-thin --thinpool v_thinpool v
quiet lvcreate -q -y -s -kn -n pvc-copy v/pvc-thin
quiet lvcreate -q -y -Wn -n pvc-origin -L 4m v
quiet lvcreate -q -y -s -pr -n pvc-snap -L 4m v/pvc-origin
quiet lvchange -q --addtag theirs v/pvc-raid1
settle
in_sync v pvc-raid1; in_sync v pvc-raid5
# What the kernel notes of arrays that are idle.
sleep 1

# What is refused changes nothing.
refuse() { bad "$1 is refused" "$2" adopt apply "$3" --uuid "${4:-$N}"; }
refuse "what is not there" LvNotFound/ENOENT v/nothing
refuse "what is in no VG" LvNotFound/ENOENT w/pvc-linear
refuse "a thin pool" Unsupported/ENOTSUP v/v_thinpool
refuse "a part of one" Unsupported/ENOTSUP v/v_thinpool_tdata
refuse "an image" Unsupported/ENOTSUP v/pvc-raid1_rimage_0
refuse "an origin" HasSnapshots/EBUSY v/pvc-origin
refuse "a snapshot" Unsupported/ENOTSUP v/pvc-snap
usage "a name without a VG" adopt plan pvc-linear --uuid "$N"
bad "no UUID" InvalidArgument/EINVAL adopt plan v/pvc-linear --uuid x
seqno=$(field vgs vg_seqno v)
good "a plan" adopt plan v/pvc-raid1 --uuid "${U[raid1]}"
that "tells what it is" "d['vg'] == 'v' and d['lv'] == 'pvc-raid1' and d['uuid'] == '${U[raid1]}' and d['size'] == 8 << 20 and d['layout'] == 'raid1:2' and d['active'] and not d['open']"
that "what is to be done" "d['refusal'] is None and len(d['steps']) == 12 and d['steps'][0] == 'mark the volume group v as a pool'"
good "a plan of what is refused" adopt plan v/pvc-origin --uuid "$N"
that "tells why" "'pvc-snap' in d['refusal'] and d['steps'] == []"
is "plans change nothing" "$(field vgs vg_seqno v)" "$seqno"

# All of them while they are in use.
mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 /dev/v/pvc-linear && mount /dev/v/pvc-linear /mnt
head -c 4M /dev/urandom >/mnt/before; sync
files() { cat "$@" | sha256sum; }
before=$(files /mnt/before)
for kind in striped raid1 raid5 thin; do stamps "/dev/v/pvc-$kind" 512 "$W/seq-$kind"; done
for kind in $kinds; do
    u=${U[$kind]} old=pvc-$kind
    id=$(field lvs lv_uuid "v/$old") size=$(field lvs lv_size "v/$old") number=$(stat -Lc %t:%T "/dev/v/$old")
    count=$(devices "pvc--$kind")
    good "$kind is adopted" adopt apply "v/$old" --uuid "$u"
    that "$kind is a replica" "d['uuid'] == '$u' and d['name'] == '$old' and d['pool'] == 'v' and d['size'] == $size and d['active'] and d['device'] == '/dev/v/$u'"
    is "$kind is the same LV and device" "$(field lvs lv_uuid "v/$u") $(field lvs lv_size "v/$u") $(stat -Lc %t:%T "/dev/v/$u") $(stat -Lc %t:%T "/dev/mapper/$(dmname v "$u")")" "$id $size $number $number"
    is "$kind has its devices renamed" "$(devices "pvc--$kind") $(devices "${u//-/--}")" "0 $count"
    is "$kind has no old node" "$(ls "/dev/v/$old" "/dev/mapper/v-pvc--$kind" 2>/dev/null)" ""
    good "$kind: again" adopt apply "v/$old" --uuid "$u"
    pc adopt apply "v/$u" --uuid "$N"
    is "$kind is no other replica" "$RC $(q "d['error']['kind']")" "1 AlreadyExists"
done
is "each was one commit" "$(field vgs vg_seqno v)" $((seqno + 5))
lvm_ok "LVM finds the VG sound" v
is "its tags are theirs and ours" "$(field lvs lv_tags "v/${U[raid1]}")" "mayastor,mayastor.lv.name=pvc-raid1,mayastor.lv.share=off,theirs"
is "the images are named after it" "$(lvs -a --noheadings -o lv_name v | grep -c "${U[raid5]}_r")" 6
is "the copy is of the new name" "$(field lvs origin v/pvc-copy)" "${U[thin]}"
pc adopt apply v/pvc-copy --uuid "${U[raid1]}"
is "a UUID that is taken is refused" "$RC $(q "d['error']['kind']")" "1 AlreadyExists"
good "the pool" pool show v
that "has what was not adopted" "sorted(d['foreign_lvs']) == ['pvc-copy', 'pvc-origin', 'pvc-snap', 'v_thinpool']"

# Both go on with them.
head -c 4M /dev/urandom >/mnt/after; sync; after=$(files /mnt/after)
for kind in raid1 raid5; do in_sync v "${U[$kind]}"; done
for kind in linear striped raid1 raid5 thin; do
    u=${U[$kind]} size=$(field lvs lv_size "v/${U[$kind]}")
    runs "LVM extends $kind" lvextend -q -L +4m "v/$u"
    good "so do we" replica resize "$u" $((size + (8 << 20)))
    that "$kind has the size" "d['size'] == $size + (8 << 20)"
done
stamps_end "adopted"
for kind in striped raid1 raid5 thin; do stamps_held "$kind: each write is there" "/dev/v/${U[$kind]}" 512 "$W/seq-$kind"; done
is "the files are there" "$(files /mnt/before) $(files /mnt/after)" "$before $after"
umount /mnt
for kind in $kinds; do
    extra=(--size 8M); [ $kind != thin ] || extra=()
    good "a snapshot of $kind" snapshot create "${U[$kind]}" "$(uuid 0x51)" --name n/1 --txn 1 --entity-id e "${extra[@]}"
    good "goes" snapshot destroy "$(uuid 0x51)"
done
good "the pool is exported" pool export v
is "without devices of the replicas" "$(for kind in $kinds; do devices "${U[$kind]//-/--}"; done | sort -u)" 0
runs "LVM activates them" vgchange -q -ay v
# Without the numbers of the devices below.
array() { face v "${U[raid1]}" | sed -E 's/[0-9]+:[0-9]+/N/g'; }
theirs=$(array)
runs "and deactivates them" vgchange -q -an v
good "it is imported" pool import v "${LOOPS[@]}"
same_face "devices are as LVM makes them" "$(array)" "$theirs"
for kind in striped raid1 raid5 thin; do stamps_held "$kind: each write is still there" "/dev/v/${U[$kind]}" 512 "$W/seq-$kind"; done
runs "the file system is whole" e2fsck -fn "/dev/v/${U[linear]}"

# Killed on the way: opening the pool, or the same call, does the rest.
runs "LVM renames one" lvrename -q v "${U[raid1]}" pvc-back
quiet lvchange -q --deltag mayastor --deltag mayastor.lv.name=pvc-raid1 v/pvc-back
stamps /dev/v/pvc-back 512 "$W/seq-raid1"
sweep 6
for ((number = 14 + FIRST; ; number += STRIDE)); do
    ask cut ioctl $number adopt apply v/pvc-back --uuid "${U[raid1]}"
    [ "$REPLY" = killed ] || break
    settle
    if lvs "v/${U[raid1]}" >/dev/null 2>&1; then
        good "killed at $number: opening the pool mends it" pool import v "${LOOPS[@]}"
    fi
    good "killed at $number: adopted" adopt apply v/pvc-back --uuid "${U[raid1]}"
    is "killed at $number: all devices have their names" "$(devices pvc--back) $(devices "${U[raid1]//-/--}")" "0 5"
    quiet lvrename -q v "${U[raid1]}" pvc-back
    quiet lvchange -q --deltag mayastor --deltag mayastor.lv.name=pvc-back v/pvc-back
done
swept "it was killed at many moments" 20
quiet lvrename -q v "${U[raid1]}" pvc-back
quiet lvchange -q --deltag mayastor --deltag mayastor.lv.name=pvc-back v/pvc-back
stamps_end "killed"
stamps_held "each write is there" /dev/v/pvc-back 512 "$W/seq-raid1"
lvm_ok "LVM finds the VG sound at last" v
quiet vgremove -q -ff -y v
is "no device is left" "$(dmsetup ls | grep -c '^v-')" 0
