# gate: trixie-udev trixie-noudev
# Thin pools of other names, disks that are chosen, a replica that moves, tags: beside the tools.
. /opt/vm/lib.sh
A=$(uuid 0xa) B=$(uuid 0xb) C=$(uuid 0xc) S=$(uuid 0xd)
on() { field lvs devices "$1" | tr ',' '\n' | sed 's/(.*//' | sort -u | xargs; }
WATCH="/dev/vda /dev/vdb /dev/vdc /dev/vdd"

# A thin pool as Proxmox makes it.
quiet vgcreate -q -s 1m v /dev/vda /dev/vdb
quiet lvcreate -q -y --type thin-pool -n data -L 32m v
quiet lvcreate -q -y -V 16m --thinpool data -n vm-100-disk-0 v
fill /dev/v/vm-100-disk-0 guest 8
guest=$(sum /dev/v/vm-100-disk-0 8)
good "their VG becomes a pool" pool import v /dev/vda /dev/vdb
good "their volume becomes a replica" adopt apply v/vm-100-disk-0 --uuid "$A"
that "it is in their thin pool" "d['thin'] and d['thin_pool'] == 'data'"
good "ours joins it" replica create v "$B" 16M --thin
fill "/dev/v/$B" ours 4
is "LVM sees it there" "$(field lvs pool_lv "v/$B")" data
good "a snapshot" snapshot create "$A" "$S" --name s --entity-id e --txn t
good "the thin pool grows by its name" thin extend v --pool-lv data --data 48M
is "LVM sees that" "$(field lvs lv_size v/data)" $((48 << 20))
is "the data is unchanged" "$(sum "/dev/v/$A" 8)" "$guest"
lvm_ok "LVM finds nothing wrong" v

# Disks that are chosen.
good "a third disk" pool add-disk v /dev/vdc
good "a replica on a chosen disk" replica create v "$C" 12M --disk /dev/vdc
is "it lies there alone" "$(on "v/$C")" /dev/vdc
bad "a disk of no pool is refused" InvalidDisk/EINVAL replica create v "$(uuid 9)" 4M --disk /dev/vdd
fill "/dev/v/$C" moved 12
moved=$(sum "/dev/v/$C" 12)
good "it moves" replica move "$C" --disk /dev/vdb
is "LVM sees it there" "$(on "v/$C")" /dev/vdb
is "with its data" "$(sum "/dev/v/$C" 12)" "$moved"
good "what is there already is success" replica move "$C" --disk /dev/vdb
lvm_ok "LVM finds nothing wrong after the move" v

# Tags.
good "a replica gets a tag" replica set "$C" --add-tag backup=daily
good "so does the pool" pool set v --add-tag rack7
is "LVM sees both" "$(field vgs vg_tags v | tr ',' '\n' | grep -c rack7)$(lvs --noheadings -o lv_tags "v/$C" | tr ',' '\n' | grep -c backup=daily)" 11
runs "the tools take one off" lvchange -q --deltag backup=daily "v/$C"
good "a replica" replica show "$C"
that "has no tag then" "'backup=daily' not in d['tags']"
