# gate: bookworm-noudev trixie-udev
# What the real tools made, we list and go on from.
. /opt/vm/lib.sh
A=$(uuid 0xa) B=$(uuid 0xb) C=$(uuid 0xc)
tags() { local tag; for tag in mayastor mayastor.lv.share=off "mayastor.lv.name=$1"; do printf -- '--addtag %s ' "$tag"; done; }

# As io-engine's backend makes them, with everything unusual that LVM allows.
quiet pvcreate -q --metadatacopies 2 --metadatasize 2m /dev/vda
quiet pvcreate -q --metadatacopies 0 /dev/vdb
quiet pvcreate -q --dataalignment 2m /dev/vdc
quiet vgcreate -q -s 1m --addtag mayastor --addtag site-7 v /dev/vda /dev/vdb /dev/vdc
quiet lvcreate -q -y -Wn -n "$A" -L 10m $(tags vol-a) v /dev/vda
quiet lvcreate -q -y -Wn -n "$B" -i 2 -I 32k -L 20m $(tags vol-b) v /dev/vdb /dev/vdc
quiet lvcreate -q -y -Wn -n plain -L 5m v
quiet lvextend -q -L 30m "v/$A" /dev/vdc
quiet lvextend -q -L 40m "v/$A" /dev/vdb
good "their pool is listed" pool list
that "it is known by a UUID" "d[0]['name'] == 'v' and re.fullmatch('[0-9a-f-]{36}', d[0]['uuid']) and d[0]['vg_id'] == '$(field vgs vg_uuid v)'"
that "its extents and disks are theirs" "d[0]['extent_size'] == 1 << 20 and d[0]['disks'] == ['/dev/vda', '/dev/vdb', '/dev/vdc']"
is "its capacity is theirs" "$(q "d[0]['capacity']")" "$(field vgs vg_size v)"
that "their plain LV is foreign" "d[0]['foreign_lvs'] == ['plain']"
good "their replicas are listed" replica list v
that "with name, size and layout" "sorted((r['uuid'], r['name'], r['size'], r['active']) for r in d) == [('$A', 'vol-a', 40 << 20, True), ('$B', 'vol-b', 20 << 20, True)]"
that "the striped one is striped" "one(uuid='$B')['layout'] == 'striped:2:32768' or one(uuid='$B')['layout'].startswith('striped:2')"

fill "/dev/v/$A" a 40; a=$(sum "/dev/v/$A" 40)
fill "/dev/v/$B" b 20; b=$(sum "/dev/v/$B" 20)
good "their replica of several segments grows" replica resize "$A" 50M
good "their striped replica grows" replica resize "$B" 30M
is "its stripes are the same" "$(field lvs stripes,stripesize "v/$B" | tr -s ' ')" "2 32768"
is "the data of several segments is unchanged" "$(sum "/dev/v/$A" 40)" "$a"
is "the striped data is unchanged" "$(sum "/dev/v/$B" 20)" "$b"
lvm_ok "LVM finds it sound" v
good "ours beside theirs" replica create v "$C" 10M
good "their tags can be set" replica set "$A" --name new
is "their other tag survives" "$(field vgs vg_tags v)" mayastor,site-7
is "a PV with two areas has two still" "$(field pvs pv_mda_count /dev/vda),$(field pvs pv_mda_used_count /dev/vda)" 2,2
is "a PV without an area has none still" "$(field pvs pv_mda_count /dev/vdb)" 0
for area in 1 2; do quiet pvck --dump metadata --settings mda_num=$area -f "$W/area-$area" /dev/vda; done
runs "both areas hold the same" cmp "$W/area-1" "$W/area-2"
good "they go away one by one" replica destroy "$A"
good "the striped one too" replica destroy "$B"
good "and ours" replica destroy "$C"
is "what is left is theirs" "$(lvs --noheadings -o lv_name v | tr -d ' ')" plain
quiet vgremove -q -ff -y v

# LVs of other kinds in the same VG are left alone.
quiet vgcreate -q --addtag mayastor v /dev/vda /dev/vdb /dev/vdc
quiet lvcreate -q -y -Wn -n "$A" -L 12m $(tags vol-a) v
quiet lvcreate -q -y -n pool -T -L 16m v
quiet lvcreate -q -y -n thin -V 32m -T v/pool
quiet lvcreate -q -y -n mirror --type raid1 -m 1 -L 8m v
quiet lvcreate -q -y -Wn -n origin -L 8m v
quiet lvcreate -q -y -n snap -s -L 4m v/origin
fill /dev/v/thin thin 8; thin=$(sum /dev/v/thin 8)
fill /dev/v/mirror mirror 8; mirror=$(sum /dev/v/mirror 8)
fill /dev/v/origin origin 2; snap=$(sum /dev/v/snap 8)
tables=$(dmsetup table | grep -v "$(dmname v "$A")" | sort)
others() { lvs -a --noheadings -o lv_name,lv_uuid,lv_size,lv_layout,lv_role,devices,seg_le_ranges v | grep -v "$A" | sort; }
before=$(others)
good "a pool with thin, raid and snapshot LVs is listed" pool show v
that "they are foreign LVs" "set(d['foreign_lvs']) >= {'thin', 'mirror', 'origin', 'snap'} and not any('snapshot0' in lv for lv in d['foreign_lvs']) and d['state'] == 'online'"
is "the capacity is theirs" "$(q "d['capacity']")" "$(field vgs vg_size v)"
is "their hidden LVs are in what is used" "$(q "d['used']")" "$(($(field vgs vg_size v) - $(field vgs vg_free v)))"
good "the replica grows among them" replica resize "$A" 24M
good "another is made among them" replica create v "$B" 12M
good "and destroyed" replica destroy "$B"
is "the others are as before in the metadata" "$(others)" "$before"
is "the others are as before in the kernel" "$(dmsetup table | grep -v "$(dmname v "$A")" | sort)" "$tables"
is "the thin LV's data is unchanged" "$(sum /dev/v/thin 8)" "$thin"
is "the raid LV's data is unchanged" "$(sum /dev/v/mirror 8)" "$mirror"
is "the snapshot's data is unchanged" "$(sum /dev/v/snap 8)" "$snap"
lvm_ok "LVM finds it sound with all kinds" v
runs "the tools go on with theirs" lvextend -q -L 24m v/pool
good "we go on with ours" replica resize "$A" 28M
# The kernel notes the state of the array when it likes.
WATCH=""
bad "the pool is not destroyed over them" ForeignLvs/EBUSY pool destroy v
good "it is exported" pool export v
is "the others stay active" "$(lvs --noheadings -o lv_name -S 'lv_active=active' v | wc -l)" "$(lvs --noheadings -o lv_name v | grep -vc "$A")"
quiet vgremove -q -ff -y v

for size in 128k 3m 64m; do
    quiet vgcreate -q -s $size --addtag mayastor v /dev/vda
    good "extents of $size: a replica" replica create v "$A" 5M
    is "extents of $size: LVM has the same size" "$(field lvs lv_size "v/$A")" "$(q "d['size']")"
    good "extents of $size: it grows" replica resize "$A" 65M
    is "extents of $size: LVM has the same new size" "$(field lvs lv_size "v/$A")" "$(q "d['size']")"
    good "extents of $size: the pool goes" pool destroy v
done
