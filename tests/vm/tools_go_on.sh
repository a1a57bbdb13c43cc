# What we made, the real tools see as their own and go on from; and we from what they did.
. /opt/vm/lib.sh
A=$(uuid 0xa) B=$(uuid 0xb) C=$(uuid 0xc)

good "a pool" pool create p /dev/vda /dev/vdb
good "a linear replica" replica create p "$A" 16M
good "a striped replica" replica create p "$B" 16M --layout striped:2
rep vgs -o all p
that "vgs sees the VG" "d[0]['vg_attr'] == 'wz--n-' and int(d[0]['pv_count']) == 2 and int(d[0]['lv_count']) == 2 and int(d[0]['vg_missing_pv_count']) == 0" "$R"
rep lvs -o all p
that "lvs sees the LVs" "sorted((r['lv_name'], r['lv_attr']) for r in d) == [('$A', '-wi-a-----'), ('$B', '-wi-a-----')]" "$R"
rep pvs -o all -S vg_name=p
that "pvs sees the PVs" "all(r['pv_attr'] == 'a--' and int(r['pv_mda_count']) == 1 and int(r['pe_start']) % (1 << 20) == 0 for r in d) and len(d) == 2" "$R"
lvm_ok "vgck and pvck find nothing wrong" p
runs "pvck can dump the metadata" pvck --dump metadata /dev/vda
runs "pvck finds the headers sound" pvck --dump headers /dev/vda
is "dmsetup has both with LVM's uuids" "$(dmsetup info -c --noheadings -o uuid | grep -c "^LVM-$(hex "$(field vgs vg_uuid p)")")" 2

runs "lvcreate" lvcreate -q -y -Wn -n theirs -L 8m p
good "we see the foreign LV" pool show p
that "it is counted as used" "d['foreign_lvs'] == ['theirs'] and d['used'] == 40 << 20 and d['committed'] == 32 << 20"
runs "lvextend of a replica" lvextend -q -L 24m "p/$A"
good "we see its new size" replica show "$A"
that "the new size is theirs" "d['size'] == 24 << 20 and d['active']"
good "we go on from there" replica resize "$A" 32M
is "both enlarged one device" "$(blockdev --getsize64 "/dev/p/$A")" $((32 << 20))
runs "lvextend of a striped replica" lvextend -q -L 24m "p/$B"
good "we go on from the striped one" replica resize "$B" 32M
is "it has two stripes still" "$(dmsetup table "$(dmname p "$B")" | awk '{print $3, $4}' | sort -u)" "striped 2"
# Newer tools look for a file system to shrink first, unless they are told not to.
fs=$(lvreduce --help 2>&1 | grep -q -- '--fs ' && echo "--fs ignore")
runs "lvreduce of a replica" lvreduce -q -f $fs -L 16m "p/$A"
good "we see it smaller" replica show "$A"
that "the smaller size is theirs" "d['size'] == 16 << 20"

runs "lvchange adds a tag" lvchange -q --addtag theirs "p/$A"
good "we change a property beside it" replica set "$A" --name mine
is "their tag is still there" "$(field lvs lv_tags "p/$A" | grep -o theirs)" theirs
runs "vgchange adds a tag" vgchange -q --addtag site-7 p
good "we export beside it" pool export p
is "their VG tag is still there" "$(field vgs vg_tags p)" site-7
good "we import beside it" pool import p /dev/vda /dev/vdb

runs "lvrename of the foreign LV" lvrename -q p theirs renamed
good "we see its new name" pool show p
that "the new name is told" "d['foreign_lvs'] == ['renamed']"
runs "lvrename takes a replica away" lvrename -q p "$B" plain
bad "it is a replica no more" ReplicaNotFound/ENOENT replica show "$B"
runs "lvrename gives it back" lvrename -q p plain "$B"
good "it is a replica again" replica show "$B"
that "it is active under its own name" "d['active'] and d['device'] == '/dev/p/$B'"

runs "vgextend" vgextend -q p /dev/vdc
good "we see the new disk" pool show p
that "the pool has it" "d['disks'] == ['/dev/vda', '/dev/vdb', '/dev/vdc']"
good "we use it" replica create p "$C" 200M
runs "pvmove empties a disk of ours" pvmove -q /dev/vdb
good "we see the replicas where they went" replica list p
that "all are active" "len(d) == 3 and all(r['active'] for r in d)"
runs "vgreduce" vgreduce -q p /dev/vdb
good "we see the disk gone" pool show p
that "the pool is without it" "'/dev/vdb' not in d['disks'] and d['state'] == 'online'"

runs "vgchange -an takes our devices" vgchange -q -an p
good "we see them inactive" replica list p
that "all are inactive" "len(d) == 3 and not any(r['active'] for r in d)"
runs "vgchange -ay brings them back" vgchange -q -ay p
good "we see them active" replica list p
that "all are active again" "all(r['active'] for r in d)"
good "we take down what they activated" replica deactivate "$A"
runs "they activate it" lvchange -q -ay "p/$A"
good "we resize what they activated" replica resize "$A" 20M
runs "they deactivate what we activated" lvchange -q -an "p/$C"
good "we activate it" replica activate "$C"

runs "vgcfgbackup" vgcfgbackup -q -f "$W/backup" p
seqno=$(field vgs vg_seqno p)
good "a change after the backup" replica destroy "$C"
runs "our changes are in LVM's backup" grep -q "seqno = $((seqno + 1))" /etc/lvm/backup/p
runs "the state before is in LVM's archive" grep -rq "seqno = $seqno" /etc/lvm/archive
quiet vgchange -q -an p
runs "vgcfgrestore" vgcfgrestore -q -f "$W/backup" p
good "we see the restored replica" replica show "$C"
that "it is as it was" "d['size'] == 200 << 20 and not d['active']"
runs "the sequence number went on" test "$(field vgs vg_seqno p)" -gt "$seqno"
good "we activate the restored one" replica activate "$C"
lvm_ok "LVM finds it sound after the restore" p
quiet vgchange -q -ay p

runs "lvremove of a replica" lvremove -q -y "p/$C"
bad "we see it gone" ReplicaNotFound/ENOENT replica show "$C"
runs "lvremove of the foreign LV" lvremove -q -y p/renamed
runs "vgrename" vgrename -q p r
good "we see the new name" pool show r
that "its replicas came along" "d['committed'] == 52 << 20"
bad "the old name is unknown" PoolNotFound/ENOENT pool show p
good "we go on under the new name" replica resize "$A" 24M
is "its device has the new name" "$(blockdev --getsize64 "/dev/r/$A")" $((24 << 20))
lvm_ok "LVM finds the renamed VG sound" r
runs "vgremove" vgremove -q -ff -y r
good "we see nothing" pool list
that "no pool is left" "d == []"
