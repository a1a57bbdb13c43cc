# gate: bookworm-noudev trixie-udev trixie-noudev
# The life of a pool: create, repeat, show, grow, add and remove disks, export, import, destroy.
. /opt/vm/lib.sh
P=0c3e7a4e-7a3f-4a34-9c56-1f0d2f9be001

loops 2 64
small=${LOOPS[0]}
good "a pool of a 64 MiB disk" pool create small "$small"
that "a 64 MiB disk has a capacity of exactly 62914560 bytes" "d['capacity'] == 62914560 and d['disk_capacity'] == 67108864"
is "LVM agrees with the capacity" "$(field vgs vg_size small)" 62914560
good "a replica takes all of it" replica create small "$(uuid 1)" 62914560
that "the replica has the whole capacity" "d['size'] == 62914560"
good "it is destroyed with its replica" pool destroy small
is "no signature is left" "$(blkid -p -o value -s TYPE "$small")" ""
rep pvs -a "$small"
that "LVM sees no PV there" "all(row['vg_name'] == '' and row['pv_fmt'] == '' for row in d)" "$R"

good "a pool of two disks with a caller's UUID" pool create p /dev/vda /dev/vdb --uuid $P
that "it is what was asked for" "d['name'] == 'p' and d['uuid'] == '$P' and d['state'] == 'online' and d['disks'] == ['/dev/vda', '/dev/vdb']"
that "nothing is used" "d['used'] == 0 and d['committed'] == 0 and d['foreign_lvs'] == [] and d['thin_pool'] is None"
that "extents are 4 MiB" "d['extent_size'] == 4 << 20 and d['capacity'] % d['extent_size'] == 0"
that "a metadata area has a size" "d['metadata']['size'] > 500_000 and 0 < d['metadata']['used'] < d['metadata']['size']"
is "the pool's UUID is the VG's id" "$(hex "$(field vgs vg_uuid p)")" "$(hex $P)"
is "LVM agrees with the size" "$(field vgs vg_size p)" "$(q "d['capacity']")"
is "LVM sees two PVs" "$(field vgs pv_count p)" 2
is "LVM sees the mark" "$(field vgs vg_tags p)" mayastor
lvm_ok "LVM finds it sound" p
seqno=$(q "d['seqno']")
ask mark "$WATCH"
good "creating it again is success" pool create p /dev/vda /dev/vdb --uuid $P
good "the disks may come in another order" pool create p /dev/vdb /dev/vda
ask written "$WATCH"; is "nothing is written for that" "$REPLY" ""
that "nothing was committed" "d['seqno'] == $seqno"
for name in p $P "$(hex $P)" "$(field vgs vg_uuid p)"; do
    good "the pool is found as $name" pool show "$name"
    that "it is the pool, as $name" "d['uuid'] == '$P'"
done
good "it is listed" pool list
that "it is listed once" "[pool['name'] for pool in d] == ['p']"

good "a third disk is added" pool add-disk p /dev/vdc
that "the pool has three disks" "len(d['disks']) == 3 and d['disk_capacity'] == 3 * (256 << 20)"
is "LVM sees three PVs" "$(field vgs pv_count p)" 3
lvm_ok "LVM finds the larger VG sound" p
good "a replica on the first disk" replica create p "$(uuid 2)" 8M
good "an empty disk leaves" pool remove-disk p /dev/vdc
that "the pool has two disks" "d['disks'] == ['/dev/vda', '/dev/vdb']"
is "the disk that left is blank" "$(blkid -p -o value -s TYPE /dev/vdc)" ""
is "LVM sees two PVs again" "$(field vgs pv_count p)" 2
lvm_ok "LVM finds the smaller VG sound" p

quiet pvcreate -q /dev/vdd
good "an orphan PV is taken as a disk" pool add-disk p /dev/vdd
good "that disk leaves too" pool remove-disk p /dev/vdd

fill "/dev/p/$(uuid 2)" export 8
before=$(sum "/dev/p/$(uuid 2)" 8)
good "it is exported" pool export p
good "a list has it no more" pool list
that "nothing is listed" "d == []"
is "no device is left" "$(dmsetup ls | grep -c ^p-)" 0
fails "no node is left" test -e /dev/p
is "the mark is off" "$(field vgs vg_tags p)" ""
good "exporting again is success" pool export p
mkdir -p "$W/by-id"; ln -s /dev/vdb "$W/by-id/second"
good "it is imported, by a name of its own" pool import p /dev/vda "$W/by-id/second"
that "it is online again" "d['state'] == 'online' and d['uuid'] == '$P'"
is "its data is as it was" "$(sum "/dev/p/$(uuid 2)" 8)" "$before"
good "importing again is success" pool import p /dev/vda /dev/vdb
bad "other disks are refused" DisksMismatch/EINVAL pool import p /dev/vda
bad "other disks are refused at create" DisksMismatch/EINVAL pool create p /dev/vda /dev/vdc
bad "another UUID is refused" UuidMismatch/EINVAL pool create p /dev/vda /dev/vdb --uuid "$(uuid 9)"
bad "another extent size is refused" InvalidArgument/EINVAL pool create p /dev/vda /dev/vdb --extent-size 8M

quiet lvcreate -q -y -Wn -n theirs -L 4m p
good "a foreign LV is told" pool show p
that "its name is told" "d['foreign_lvs'] == ['theirs']"
bad "a pool with a foreign LV is not destroyed" ForeignLvs/EBUSY pool destroy p
that "the error has its name" "'theirs' in d['error']['message']"
quiet lvremove -q -y p/theirs
good "a pool is destroyed with its replicas" pool destroy p
is "no device is left of it" "$(dmsetup ls | grep -c ^p-)" 0
fails "no node is left of it" test -e /dev/p
for disk in /dev/vda /dev/vdb; do is "$disk is blank" "$(blkid -p -o value -s TYPE $disk)" ""; done
runs "LVM takes the disks anew" vgcreate -q other /dev/vda /dev/vdb
quiet vgremove -q other

good "a pool with large extents and large metadata" pool create q /dev/vda --extent-size 16M --metadata-size 32M
that "both are as asked" "d['extent_size'] == 16 << 20 and d['metadata']['size'] >= 16 << 20"
is "LVM sees the extent size" "$(field vgs vg_extent_size q)" $((16 << 20))
lvm_ok "LVM finds it sound too" q
good "the pool with large extents goes" pool destroy q

# Growing: the disk becomes larger under the pool.
grow=${LOOPS[1]}
good "a pool on a disk that will grow" pool create g "$grow"
good "a replica on it" replica create g "$(uuid 3)" 16M
good "growing nothing is success" pool grow g
that "the capacity is the old" "d['capacity'] == 62914560"
truncate -s 128M "$W/loop-64-1.img"
losetup -c "$grow"
settle
good "it grows" pool grow g
that "the new space is usable" "d['capacity'] == 62914560 + (64 << 20) and d['disk_capacity'] == 128 << 20"
is "LVM sees the PV's new size" "$(field pvs dev_size "$grow")" $((128 << 20))
is "LVM sees the VG's new size" "$(field vgs vg_size g)" $((62914560 + (64 << 20)))
lvm_ok "LVM finds the grown VG sound" g
good "a replica uses the new space" replica create g "$(uuid 4)" 100M

# Another name, while a replica is open; and a copy of the disk beside the original.
exec 7<"/dev/g/$(uuid 3)"
good "it gets another name while a replica is open" pool rename g g-2
that "it has the name" "d['name'] == 'g-2' and d['state'] == 'online'"
fails "no node of the old name is left" test -e /dev/g
is "the node has the new name" "$(stat -L -c %F "/dev/g-2/$(uuid 3)")" "block special file"
lvm_ok "LVM finds the renamed VG sound" g-2
runs "vgrename gives it its old name again" vgrename -q g-2 g
exec 7<&-
settle
good "we know it by that" pool show g
bad "the name of another VG is refused" InvalidName/EINVAL pool rename g "a b"
fill "/dev/g/$(uuid 3)" 7
before=$(sum "/dev/g/$(uuid 3)")
cp --sparse=always "$W/loop-64-1.img" "$W/copy.img"
copy=$(losetup -f --show "$W/copy.img")
settle
good "a copied disk is imported under new ids" pool import copy "$copy" --new-ids
that "it is a pool of its own" "d['name'] == 'copy' and d['disks'] == ['$copy'] and d['state'] == 'online'"
good "importing it again is success" pool import copy "$copy" --new-ids
good "both are listed" pool list
that "each has its own id" "sorted(p['name'] for p in d) == ['copy', 'g'] and len({p['vg_id'] for p in d}) == 2"
good "the copy's replicas are listed" replica list copy
that "they name what they are copies of" "sorted(r['copied_from'] for r in d) == sorted(['$(uuid 3)', '$(uuid 4)'])"
is "the data is the same" "$(sum "$(q "[r['device'] for r in d if r['copied_from'] == '$(uuid 3)'][0]")")" "$before"
lvm_ok "LVM finds the copy sound" copy
lvm_ok "LVM finds the original sound" g
is "LVM sees each PV once" "$(pvs --noheadings -o pv_uuid "$grow" "$copy" 2>&1 | sort -u | wc -l)" 2
good "the copy goes" pool destroy copy
losetup -d "$copy"
good "the grown pool goes" pool destroy g
