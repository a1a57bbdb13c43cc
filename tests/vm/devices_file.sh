# gate: trixie-udev trixie-noudev
# LVM's devices file, filters and hints are honoured, and kept right.
. /opt/vm/lib.sh
A=$(uuid 0xa)
FILE=/etc/lvm/devices/system.devices
lvmdevices() { lvm lvmdevices "$@"; }

# Hints: LVM remembers where PVs are; it must see a new one at once.
quiet vgcreate -q theirs /dev/vda
quiet pvs
runs "LVM has hints" test -s /run/lvm/hints
good "a pool" pool create p /dev/vdb
is "LVM sees the new PV at once" "$(field pvs vg_name /dev/vdb)" p
is "LVM sees the new VG at once" "$(field vgs vg_name p)" p
quiet pvs
good "a disk more" pool add-disk p /dev/vdc
is "LVM sees the new disk at once" "$(pvs --noheadings -o pv_name -S vg_name=p | wc -l)" 2
quiet pvs
good "a disk less" pool remove-disk p /dev/vdc
is "LVM sees it gone at once" "$(pvs --noheadings -o pv_name -S vg_name=p | wc -l)" 1
quiet pvs
good "the pool goes" pool destroy p
is "LVM sees the pool gone at once" "$(vgs --noheadings -o vg_name | tr -d ' ')" theirs
quiet vgremove -q theirs
quiet pvremove -q /dev/vda

# Filters.
config() { sed -i "s/^devices {/devices { $1/" /etc/lvm/lvmlocal.conf; }
cp /etc/lvm/lvmlocal.conf "$W/lvmlocal.conf"
restore() { cp "$W/lvmlocal.conf" /etc/lvm/lvmlocal.conf; }
good "a pool on the second disk" pool create p /dev/vdb
good "its replica" replica create p "$A" 8M
config 'filter = [ "r|^\/dev\/vd[bc]$|" ]'
fails "LVM does not see it through a filter" vgs p
good "we do not see it either" pool list
that "nothing is listed" "d == []"
bad "a disk that the filter excludes" InvalidDisk/EINVAL pool create q /dev/vdc
bad "not by force either" InvalidDisk/EINVAL pool create q /dev/vdc --force
good "the other disks are free" pool create q /dev/vdd
good "the other pool goes" pool destroy q
restore
good "without the filter it is there" pool show p
good "it goes" pool destroy p

# The devices file: what it does not list is none of LVM's disks; what we make is listed.
config 'use_devicesfile = 1'
sed -i 's/ use_devicesfile = 0//' /etc/lvm/lvmlocal.conf
quiet vgcreate -q --devicesfile "" theirs /dev/vda
good "a pool without a devices file" pool create p /dev/vdb
fails "we make no devices file" test -e $FILE
good "it goes again" pool destroy p
quiet lvmdevices -y --adddev /dev/vda
runs "there is a devices file now" test -s $FILE
good "a pool on a disk that is not listed" pool create p /dev/vdb /dev/vdc
that "it is on both disks" "d['disks'] == ['/dev/vdb', '/dev/vdc']"
is "both are listed" "$(grep -cE 'DEVNAME=/dev/vd[bc] ' $FILE)" 2
is "with their PVs' ids" "$(for disk in /dev/vdb /dev/vdc; do grep "DEVNAME=$disk " $FILE | grep -c "PVID=$(hex "$(field pvs pv_uuid $disk)")"; done | tr '\n' ' ')" "1 1 "
is "LVM sees the pool" "$(field vgs pv_count p)" 2
is "LVM has no complaint about the file" "$(lvmdevices --check 2>&1 | grep -iE 'warn|error|update')" ""
lvm_ok "LVM finds the pool sound" p
is "their line is still there" "$(grep -c 'DEVNAME=/dev/vda ' $FILE)" 1
good "a replica" replica create p "$A" 8M
good "a disk more" pool add-disk p /dev/vdd
is "it is listed" "$(grep -c 'DEVNAME=/dev/vdd ' $FILE)" 1
is "LVM sees three PVs" "$(field vgs pv_count p)" 3
runs "the tools go on" lvextend -q -L 12m "p/$A"
good "a disk less" pool remove-disk p /dev/vdd
is "LVM has no complaint about the file then" "$(lvmdevices --check 2>&1 | grep -iE 'warn|error')" ""
quiet lvmdevices -y --deldev /dev/vdb
good "a pool whose disk is no longer listed" pool list
that "it has a missing disk" "[pool['state'] for pool in d] != ['online']"
bad "it is not changed" MissingPv/EBUSY replica resize "$A" 16M
quiet lvmdevices -y --adddev /dev/vdb
good "it is listed again" replica resize "$A" 16M
good "it goes" pool destroy p
quiet pvcreate -q --devicesfile "" /dev/vde
good "a free PV that is not listed is taken" pool create p /dev/vde
is "and is listed" "$(grep -c 'DEVNAME=/dev/vde ' $FILE)" 1
cp $FILE "$W/listed"
sectors=$(blockdev --getsz /dev/vdf)
quiet dmsetup create frail --table "0 $sectors flakey /dev/vdf 0 0 60 1 error_writes"
settle
pc pool add-disk p /dev/vdd /dev/mapper/frail
is "a disk that fails its first write is not added" "$RC $(q "d['error']['errno']")" "1 EIO"
is "takes no other onto the list" "$(grep -v '^#\|VERSION' $FILE)" "$(grep -v '^#\|VERSION' "$W/listed")"
is "and leaves the other blank" "$(blkid -p -o value -s TYPE /dev/vdd)" ""
is "the pool has its one disk" "$(pvs --noheadings -o pv_name -S vg_name=p | tr -d ' ')" /dev/vde
quiet dmsetup remove frail
good "it goes, too" pool destroy p
is "LVM has no complaint about the file at the end" "$(lvmdevices --check 2>&1 | grep -iE 'warn|error')" ""
quiet vgremove -q theirs
