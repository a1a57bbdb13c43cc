# gate: bookworm-noudev trixie-udev trixie-noudev
# The life of a replica: create, list, properties, resize, I/O, activation, destroy.
. /opt/vm/lib.sh
A=$(uuid 0xa) B=$(uuid 0xb) C=$(uuid 0xc) D=$(uuid 0xd)

good "a pool" pool create p /dev/vda /dev/vdb
good "a replica" replica create p "$A" 10M --name vol-a --entity-id "$(uuid 0xe)"
that "its size is rounded up to extents" "d['size'] == 12 << 20 and d['committed'] == d['size'] and d['allocated'] == d['size']"
that "it is what was asked for" "d['uuid'] == '$A' and d['name'] == 'vol-a' and d['pool'] == 'p' and d['entity_id'] == '$(uuid 0xe)'"
that "it is thick, its own, unshared" "not d['thin'] and not d['read_only'] and not d['is_clone'] and d['share'] == {'protocol': 'off', 'uri': None, 'allowed_hosts': []}"
that "it is active, on a device" "d['active'] and d['device'] == '/dev/p/$A' and d['health']['state'] == 'online'"
is "the node is a device of that size" "$(blockdev --getsize64 "/dev/p/$A")" $((12 << 20))
rep lvs -o lv_name,lv_uuid,lv_size,lv_tags,lv_layout,lv_active p
that "LVM sees its name, size and id" "d[0]['lv_name'] == '$A' and int(d[0]['lv_size']) == 12 << 20 and hexid(d[0]['lv_uuid']) == hexid('$A')" "$R"
that "LVM sees its tags" "set(d[0]['lv_tags'].split(',')) == {'mayastor', 'mayastor.lv.name=vol-a', 'mayastor.lv.share=off', 'mayastor.lv.entity_id=$(uuid 0xe)'}" "$R"
that "LVM sees it linear and active" "d[0]['lv_layout'] == 'linear' and d[0]['lv_active'] == 'active'" "$R"
lvm_ok "LVM finds the VG sound" p

good "a striped replica" replica create p "$B" 20M --layout striped:2:64K
that "it has two stripes" "d['layout'].startswith('striped:2') and d['size'] == 24 << 20"
is "the kernel maps it in stripes of 64 KiB" "$(dmsetup table "$(dmname p "$B")" | cut -d' ' -f1-5)" "0 49152 striped 2 128"
is "LVM sees two stripes" "$(field lvs stripes "p/$B"),$(field lvs stripesize "p/$B")" 2,65536
bad "three stripes need three disks" NoSpace/ENOSPC replica create p "$C" 12M --layout striped:3

good "both are listed" replica list
that "in the list are both" "sorted(r['uuid'] for r in d) == ['$A', '$B']"
good "both are listed of the pool" replica list p
that "in the pool's list are both" "len(d) == 2"
good "the pool counts them" pool show p
that "used and committed are exact" "d['used'] == d['committed'] == 36 << 20"

good "show" replica show "$A"
that "show shows it" "d['uuid'] == '$A' and d['name'] == 'vol-a'"
good "upper case names it too" replica show "${A^^}"

good "a new name and entity" replica set "$A" --name vol-b --entity-id e/2
that "the new properties are there" "d['name'] == 'vol-b' and d['entity_id'] == 'e/2'"
is "the old tags are gone" "$(field lvs lv_tags "p/$A" | grep -c vol-a)" 0
is "the new tags are there" "$(field lvs lv_tags "p/$A" | grep -o 'name=vol-b\|entity_id=e/2' | wc -l)" 2
ask mark "$WATCH"
good "setting what is set is success" replica set "$A" --name vol-b --entity-id e/2
good "resizing to the same size is success" replica resize "$A" 12M
good "activating what is active is success" replica activate "$A"
ask written "$WATCH"; is "nothing is written for these" "$REPLY" ""

good "a replica grows" replica resize "$A" 30M
that "the new size is told" "d['size'] == 32 << 20 and d['active']"
is "the device has the new size" "$(blockdev --getsize64 "/dev/p/$A")" $((32 << 20))
is "LVM has the new size" "$(field lvs lv_size "p/$A")" $((32 << 20))
good "a striped replica grows" replica resize "$B" 40M
that "it grows by whole stripes" "d['size'] == 40 << 20"
is "its device has the new size" "$(blockdev --getsize64 "/dev/p/$B")" $((40 << 20))
bad "shrinking must be allowed" ShrinkRefused/EINVAL replica resize "$A" 8M
good "shrinking is done when it is allowed" replica resize "$A" 8M --allow-shrink
is "the device is smaller" "$(blockdev --getsize64 "/dev/p/$A")" $((8 << 20))
lvm_ok "LVM finds the VG sound after resizing" p

printf 'hello, replica' >"$W/data"
poolctl replica write "$A" 4096 <"$W/data"
is "what is written is read" "$(poolctl replica read "$A" 4096 14)" "hello, replica"
is "it is on the device" "$(dd if="/dev/p/$A" bs=4096 skip=1 count=1 status=none iflag=direct | head -c 14)" "hello, replica"
bad "reading beyond the end is refused" InvalidArgument/EINVAL replica read "$A" 8M 1
# udevd looks at what was written; until then its reads are in flight.
settle
good "the counters" replica stats "$A"
that "the counters saw the write" "d['writes'] >= 1 and d['write_bytes'] >= 14 and d['reads'] >= 1 and d['in_flight'] == 0"

good "a replica is deactivated" replica deactivate "$A"
that "it has no device" "not d['active'] and d['device'] is None"
fails "its node is gone" test -e "/dev/p/$A"
is "LVM sees it inactive" "$(field lvs lv_active "p/$A")" ""
ask mark "$WATCH"
good "deactivating again is success" replica deactivate "$A"
ask written "$WATCH"; is "nothing is written for that" "$REPLY" ""
bad "an inactive replica cannot be read" NotActive/EBUSY replica read "$A" 0 1
bad "an inactive replica has no counters" NotActive/EBUSY replica stats "$A"
good "an inactive replica is resized" replica resize "$A" 16M
good "it is activated" replica activate "$A"
is "what was written is still there" "$(poolctl replica read "$A" 4096 14)" "hello, replica"
is "its size is the new" "$(blockdev --getsize64 "/dev/p/$A")" $((16 << 20))

exec 7<"/dev/p/$A"
bad "an open replica is not destroyed" Busy/EBUSY replica destroy "$A"
bad "an open replica is not deactivated" Busy/EBUSY replica deactivate "$A"
bad "a pool with an open replica is not exported" Busy/EBUSY pool export p
bad "a pool with an open replica is not destroyed" Busy/EBUSY pool destroy p
exec 7<&-

# Zeroing: both disks are full of old data first.
good "the pool goes" pool destroy p
for disk in /dev/vda /dev/vdb; do fill $disk old 40; done
good "a pool on disks full of old data" pool create p /dev/vda /dev/vdb
good "zero none" replica create p "$A" 12M --zero none
good "zero head" replica create p "$B" 12M --zero head
good "zero full" replica create p "$C" 12M --zero full
good "the default" replica create p "$D" 12M
zeros() { cmp -s -n "$2" "/dev/p/$1" /dev/zero; }
fails "without zeroing old data shows" zeros "$A" 1M
runs "the head is zeroed" zeros "$B" 8M
fails "beyond the head it is not" zeros "$B" 12M
runs "all is zeroed" zeros "$C" 12M
runs "the head is zeroed by default" zeros "$D" 8M
good "a replica is destroyed" replica destroy "$C"
fails "its node is gone with it" test -e "/dev/p/$C"
is "LVM sees it no more" "$(field lvs lv_name "p/$C")" ""
bad "it is unknown then" ReplicaNotFound/ENOENT replica show "$C"
good "its space is used again" replica create p "$C" 12M --layout striped:2

good "many in one commit" replica create-many p 40 4M
that "all are made, with UUIDs of their own" "len({r['uuid'] for r in d}) == 40 and all(r['active'] and r['size'] == 4 << 20 for r in d)"
is "LVM sees them all active" "$(lvs --noheadings -o lv_name -S 'lv_active=active && lv_size=4m' p | wc -l)" 40
seqno=$(field vgs vg_seqno p)
good "ten more" replica create-many p 10 4M
is "they cost one commit" "$(field vgs vg_seqno p)" $((seqno + 1))
lvm_ok "LVM finds the VG with many replicas sound" p
bad "too many do not fit, and none is made" NoSpace/ENOSPC replica create-many p 100 4M
good "the pool goes with all of them" pool destroy p
is "no device is left" "$(dmsetup ls | grep -c ^p-)" 0
