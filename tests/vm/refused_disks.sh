# gate: trixie-udev trixie-noudev
# Disks that must not be taken: each has its typed error, and nothing is written.
. /opt/vm/lib.sh
A=$(uuid 0xa)
says() { that "$1" "re.search(r'''$2''', d['error']['message'])"; }
refuses() { # NAME DISK WHY: neither a new pool nor an old one takes it, not even by force
    bad "$1: create" DiskInUse/EBUSY pool create x "$2"
    says "$1: the error says why" "$3"
    bad "$1: create by force" DiskInUse/EBUSY pool create x "$2" --force
    bad "$1: beside a good disk" DiskInUse/EBUSY pool create x /dev/vdf "$2"
    bad "$1: add-disk" DiskInUse/EBUSY pool add-disk p "$2"
}
good "a pool" pool create p /dev/vda

mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 /dev/vdb
mount -o ro /dev/vdb /mnt
refuses "a mounted disk" /dev/vdb mount
umount /mnt
bad "a disk with a file system" DiskInUse/EBUSY pool create x /dev/vdb
says "the error names the signature" ext2/3/4
good "it is taken by force" pool create x /dev/vdb --force
is "the old signature is gone" "$(blkid -p -o value -s TYPE /dev/vdb)" LVM2_member
good "the pool on it goes" pool destroy x
mkswap -q /dev/vdb
swapon /dev/vdb
refuses "swap space" /dev/vdb swap
swapoff /dev/vdb
wipefs -qa /dev/vdb
dmsetup create held --table "0 2048 linear /dev/vdb 0"
settle
refuses "a disk that a mapped device holds" /dev/vdb "used by dm-"
dmsetup remove held
settle
( exec 9<>/dev/vdb; python3 -c "
import os, sys
fd = os.open('/dev/vdb', os.O_RDWR | os.O_EXCL)
open('$W/open', 'w').close()
sys.stdin.read()" ) < <(sleep 1000) & holder=$!
until [ -e "$W/open" ]; do sleep 0.1; done
bad "a disk that a program claims" DiskInUse/EBUSY pool create x /dev/vdb
pkill -P $holder; kill $holder 2>/dev/null; pkill sleep
wait $holder 2>/dev/null

printf 'label: gpt\nsize=100M\n' | sfdisk -q /dev/vdb
settle
refuses "a partitioned disk" /dev/vdb partition
[ "$UDEV" = udev ] || [ -b /dev/vdb1 ] || mknod /dev/vdb1 b $(tr : ' ' </sys/class/block/vdb1/dev)
good "a partition is a disk like another" pool create x /dev/vdb1
that "it is named as it was given" "d['disks'] == ['/dev/vdb1'] and 96 << 20 <= d['capacity'] < 100 << 20"
bad "the disk is not taken over its partition" DiskInUse/EBUSY pool create y /dev/vdb
good "the pool on the partition goes" pool destroy x
wipefs -qa /dev/vdb
blockdev --rereadpt /dev/vdb
settle

refuses "a PV of a pool" /dev/vda "volume group .p."
quiet vgcreate -q theirs /dev/vdc
refuses "a PV of another VG" /dev/vdc theirs
quiet vgremove -q theirs
quiet pvremove -q /dev/vdc
good "a replica" replica create p "$A" 32M
bad "a replica is no disk of its own pool" DiskInUse/EBUSY pool add-disk p "/dev/p/$A"

# A VG inside a replica, such as a guest's, is none of the host's.
quiet vgcreate -q --config 'devices { scan_lvs = 1 }' inner "/dev/p/$A"
good "a VG inside a replica is not listed" --device /dev/vda --device "/dev/p/$A" pool list
that "the pool alone is" "[pool['name'] for pool in d] == ['p']"
bad "a VG inside a replica is not taken over" PoolNotFound/ENOENT pool import inner "/dev/p/$A"
bad "not when the replica is named as a device either" PoolNotFound/ENOENT --device "/dev/p/$A" pool import inner "/dev/p/$A"
quiet vgremove -q --config 'devices { scan_lvs = 1 }' inner

truncate -s 1M "$W/tiny.img"; tiny=$(losetup -f --show "$W/tiny.img")
truncate -s 4M "$W/small.img"; small=$(losetup -f --show "$W/small.img")
settle
bad "a disk too small for a PV" DiskTooSmall/EINVAL pool create x "$tiny"
bad "a disk too small for an extent" DiskTooSmall/EINVAL pool create x "$small"
bad "one of several is too small" DiskTooSmall/EINVAL pool create x /dev/vdd "$tiny"
bad "too small for an existing pool" DiskTooSmall/EINVAL pool add-disk p "$tiny"
bad "a missing disk" DiskNotFound/ENODEV pool create x /dev/nothing
bad "one of several is missing" DiskNotFound/ENODEV pool create x /dev/vdd /dev/nothing
bad "a missing disk for an existing pool" DiskNotFound/ENODEV pool add-disk p /dev/nothing
bad "a missing disk at import" DiskNotFound/ENODEV pool import p /dev/nothing
bad "a folder" InvalidDisk/ENOTBLK pool create x /dev/mapper
bad "a terminal" InvalidDisk/ENOTBLK pool create x /dev/ttyS0
bad "a disk given twice" InvalidDisk/EINVAL pool create x /dev/vdd /dev/vdd
ln -s /dev/vdd "$W/alias"
bad "a disk given twice by two names" InvalidDisk/EINVAL pool create x /dev/vdd "$W/alias"
bad "a disk that is none of the pool's" InvalidDisk/EINVAL pool remove-disk p /dev/vdd
bad "the last disk" DiskNotEmpty/EBUSY pool remove-disk p /dev/vda
good "the replica goes" replica destroy "$A"
bad "the last disk, though empty" DiskNotEmpty/EBUSY pool remove-disk p /dev/vda
blockdev --setro /dev/vdd
pc pool create x /dev/vdd
is "a read-only disk is refused" $RC 1
ask written /dev/vdd
blockdev --setrw /dev/vdd
good "the pool goes" pool destroy p
