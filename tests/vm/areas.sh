# gate: bookworm-noudev trixie-noudev
# Metadata areas behind the extents, disks that grow and shrink, and a disk that leaves with the only area in use, beside the tools.
. /opt/vm/lib.sh
A=$(uuid 0xa) B=$(uuid 0xb)
size() { truncate -s "$2" "$(losetup -n -O BACK-FILE "$1" | tr -d ' ')"; losetup -c "$1"; settle; }
areas() { pvck --dump headers "$1" 2>/dev/null | grep -cE 'mda_header_[12] at'; }
loops 3 64
D=${LOOPS[0]} E=${LOOPS[1]} F=${LOOPS[2]}

quiet pvcreate -q --metadatacopies 2 "$D"
quiet vgcreate -q p "$D"
good "a VG with two areas becomes a pool" pool import p "$D"
good "a replica" replica create p "$A" 8M
fill "/dev/p/$A" keep 8
keep=$(sum "/dev/p/$A" 8)
size "$D" 100M
good "it grows past the second area" pool grow p
that "by all of the disk" "d['capacity'] == 96 << 20"
lvm_ok "LVM finds the larger VG sound" p
is "LVM uses both areas" "$(field pvs pv_mda_used_count "$D")" 2
quiet pvresize -q "$D"
is "LVM would have made it as large" "$(field vgs vg_size p)" $((96 << 20))
size "$D" 140M
quiet pvresize -q "$D"
good "after LVM's own pvresize" pool show p
that "we read the same" "d['capacity'] == $(field vgs vg_size p)"
good "and go on" replica create p "$B" 120M
lvm_ok "LVM finds that sound" p
bad "its end is not given up while it is used" DiskNotEmpty/EBUSY pool shrink-disk p "$D" 80M
good "the replica goes" replica destroy "$B"
good "the end is free" pool shrink-disk p "$D" 80M
size "$D" 80M
lvm_ok "LVM finds the smaller VG sound" p
is "both areas are there" "$(areas "$D")" 2
good "a replica at the front" replica create p "$B" 40M
good "and one behind it" replica resize "$A" 12M
good "the front is freed" replica destroy "$B"
good "what is in the way moves" pool shrink-disk p "$D" 40M --move
lvm_ok "LVM finds that sound, too" p
is "the data is unchanged" "$(sum "/dev/p/$A" 8)" "$keep"

quiet pvcreate -q --metadataignore y "$E"
quiet vgextend -q p "$E"
good "the disk with the areas in use leaves" pool remove-disk p "$D"
is "LVM uses the other area" "$(field vgs vg_mda_used_count p)" 1
lvm_ok "LVM finds the VG without the disk sound" p
quiet pvcreate -q --metadatacopies 0 "$F"
quiet vgextend -q p "$F"
bad "the only area does not leave" OnlyMetadataArea/EBUSY pool remove-disk p "$E"

good "the disk without an area leaves" pool remove-disk p "$F"
size "$E" 40M
good "a disk that shrank is shown" pool show p
that "it is told what became smaller" "any('its device has' in why for why in d['reasons'])"
bad "nothing is taken of it" PvLargerThanDevice/EBUSY replica create p "$B" 4M
good "growing follows it" pool grow p
lvm_ok "LVM finds the VG on the smaller disk sound" p
is "the data is unchanged at the end" "$(sum "/dev/p/$A" 8)" "$keep"
good "the pool goes" pool destroy p
