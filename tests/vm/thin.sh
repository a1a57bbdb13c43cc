# gate: bookworm-noudev trixie-udev trixie-noudev
# Thin pools, thin replicas, snapshots and clones, beside the real tools.
. /opt/vm/lib.sh
A=$(uuid 0xa) B=$(uuid 0xb) C=$(uuid 0xc) D=$(uuid 0xd) S=$(uuid 0x51) T=$(uuid 0x52)
POOL=mayastor-thinpool
# The kernel's metadata of the pool are sound, by the tools' own checker; the pool is inactive meanwhile.
checked() { # NAME
    local dev
    quiet vgchange -an p
    quiet lvchange -ay -y "p/${POOL}_tmeta"
    runs "$1" thin_check "/dev/p/${POOL}_tmeta"
    quiet lvchange -an -y "p/${POOL}_tmeta"
    quiet poolctl pool import p /dev/vda /dev/vdb
}

good "a pool" pool create q /dev/vdc
bad "a thin replica needs a thin pool" NoThinPool/ENOTSUP replica create q "$A" 64M --thin
bad "a thin pool needs room" NoSpace/ENOSPC thin create q 1G
good "a thin pool comes later, too" thin create q 64M --chunk-size 128K --max 1G --error-if-no-space --no-zeroing --discards ignore
is "LVM sees it as asked" "$(field lvs chunk_size,zero,discards,lv_when_full "q/$POOL" | tr -s ' ')" "131072 ignore error"
bad "a pool whose thin pool does not fit is not made" NoSpace/ENOSPC pool create r /dev/vdd --thin-pool 1G
good "and goes with its pool" pool destroy q
good "a pool with a thin pool" pool create p /dev/vda /dev/vdb --thin-pool 96M
that "the thin pool is as asked" "d['thin_pool']['name'] == '$POOL' and d['thin_pool']['data_size'] == 96 << 20 and d['thin_pool']['chunk_size'] == 65536"
that "nothing of it is used" "d['thin_pool']['data_used'] == 0 and d['thin_pool']['transaction_id'] == 0 and d['foreign_lvs'] == []"
good "again is success" pool create p /dev/vda /dev/vdb --thin-pool 96M
bad "another size is refused" InvalidArgument/EINVAL pool create p /dev/vda /dev/vdb --thin-pool 48M
lvm_ok "LVM finds the VG sound" p
is "LVM sees a thin pool" "$(field lvs segtype,lv_size,chunk_size,zero,discards "p/$POOL")" "thin-pool 100663296 65536 zero passdown"

good "a thin replica larger than the pool" replica create p "$A" 1G --thin --name vol-a
that "it is thin and empty" "d['thin'] and d['size'] == 1 << 30 and d['allocated'] == 0 and d['active'] and d['layout'] == 'thin'"
bad "a thin one has no layout of its own" InvalidArgument/EINVAL replica create p "$C" 1G --thin --layout striped:2
good "a thick one beside it" replica create p "$B" 16M
good "many thin ones" replica create-many p 3 32M --thin
lvm_ok "LVM finds the VG sound with thin LVs" p
rep lvs -a -o lv_name,segtype,pool_lv,lv_active,thin_id,data_percent p
that "LVM sees ours as thin and active" "[r for r in d if r['lv_name'] == '$A'][0]['segtype'] == 'thin' and [r for r in d if r['lv_name'] == '$A'][0]['pool_lv'] == '$POOL' and all(r['lv_active'] == 'active' for r in d if r['segtype'] == 'thin')" "$R"
is "the transactions agree" "$(dmsetup status "p-${POOL/-/--}-tpool" | cut -d' ' -f4)" "$(field lvs transaction_id "p/$POOL")"

fill "/dev/p/$A" one 8
good "what is written is allocated" replica show "$A"
that "to the chunk" "d['allocated'] == 8 << 20 and d['committed'] == 1 << 30"
good "the pool counts it" pool show p
that "used is what is mapped" "d['thin_pool']['data_used'] == 8 << 20"
one=$(sum "/dev/p/$A" 8)

good "a snapshot under a name with a slash" snapshot create "$A" "$S" --name "$(uuid 9)/3" --txn 3 --entity-id "$(uuid 0xe)"
that "it is what was asked for" "d['uuid'] == '$S' and d['name'] == '$(uuid 9)/3' and d['txn_id'] == '3' and d['source_uuid'] == '$A' and d['entity_id'] == '$(uuid 0xe)' and d['valid']"
that "it has the replica's chunks" "d['size'] == 1 << 30 and d['allocated'] == 8 << 20 and d['num_clones'] == 0 and d['create_time'].endswith('Z')"
note "the replica stood still for $(q "d['stall_us']") us"
bad "again is refused" AlreadyExists/EEXIST snapshot create "$A" "$S" --name n --txn 3 --entity-id e
bad "of a thick one is refused" NotThin/ENOTSUP snapshot create "$B" "$T" --name n --txn 3 --entity-id e
bad "of nothing is refused" ReplicaNotFound/ENOENT snapshot create "$D" "$T" --name n --txn 3 --entity-id e
lvm_ok "LVM finds the VG sound with a snapshot" p
is "LVM sees a read-only snapshot that is not activated" "$(field lvs lv_attr,origin "p/$S" | tr -s ' ')" "Vri---tz-k $A"
fill "/dev/p/$A" two 8

good "a clone" clone create "$S" "$C" --name clone-c
that "it is a thin replica with a source" "d['uuid'] == '$C' and d['is_clone'] and d['snapshot_uuid'] == '$S' and d['thin'] and d['active'] and d['size'] == 1 << 30"
is "it holds what the replica held" "$(sum "/dev/p/$C" 8)" "$one"
fill "/dev/p/$C" three 4
two=$(sum "/dev/p/$A" 8) three=$(sum "/dev/p/$C" 8)
good "snapshots are listed" snapshot list "$A"
that "with their clones" "[s['uuid'] for s in d] == ['$S'] and d[0]['num_clones'] == 1"
good "clones are listed" clone list "$S"
that "the clone alone" "[c['uuid'] for c in d] == ['$C']"
good "replicas are listed" replica list p
that "with the clone and without the snapshot" "len(d) == 6 and '$S' not in [r['uuid'] for r in d]"

good "a thin replica grows online" replica resize "$A" 2G
is "its device has the new size" "$(blockdev --getsize64 "/dev/p/$A")" $((2 << 30))
good "the snapshot keeps its size" snapshot show "$S"
that "as it was" "d['size'] == 1 << 30"

good "the origin goes first" replica destroy "$A"
good "the snapshot stays" snapshot show "$S"
that "with all it has" "d['source_uuid'] == '$A' and d['allocated'] == 8 << 20"
lvm_ok "LVM finds the VG sound without the origin" p
good "another clone of it" clone create "$S" "$D" --name clone-d
is "it holds what the replica held, too" "$(sum "/dev/p/$D" 8)" "$one"
is "the first clone holds its own" "$(sum "/dev/p/$C" 8)" "$three"
good "a snapshot of a clone" snapshot create "$C" "$T" --name n/1 --txn 1 --entity-id e
good "the snapshot between goes" snapshot destroy "$S"
bad "it is gone" SnapshotNotFound/ENOENT snapshot show "$S"
is "the clone lives on" "$(sum "/dev/p/$C" 8)" "$three"
checked "thin_check finds the kernel's metadata sound"
is "data is there after it" "$(sum "/dev/p/$C" 8)" "$three"

# The tools go on from here, and we from there.
runs "LVM makes a thin LV in our pool" lvcreate -q -y -V 64m -T "p/$POOL" -n theirs
runs "LVM takes a snapshot of our clone" lvcreate -q -y -s -n theirsnap "p/$C"
runs "LVM removes a replica of ours" lvremove -q -y "p/$D"
good "we go on" replica create p "$A" 32M --thin
good "theirs is foreign" pool show p
that "by name" "d['foreign_lvs'] == ['theirs', 'theirsnap']"
good "a snapshot after theirs" snapshot create "$A" "$S" --name n/2 --txn 2 --entity-id e
runs "LVM removes its own" lvremove -q -y p/theirs p/theirsnap
lvm_ok "LVM finds the VG sound after both" p

runs "many replicas and snapshots" bench_ops thin p 40 40 --rounds 1
runs "a chain of clones of snapshots of clones" bench_ops chain p 12
good "snapshots are many" snapshot list
that "and all valid" "len(d) == 42 and all(s['valid'] for s in d)"
lvm_ok "LVM finds the VG sound with many" p

good "export takes all devices away" pool export p
is "there are none" "$(dmsetup ls | grep -c '^p-')" 0
good "an inactive pool tells what is used" pool import p /dev/vda /dev/vdb
is "all replicas are back" "$(sum "/dev/p/$C" 8)" "$three"
good "all goes" pool destroy p
ask leaks; is "nothing is left over" "$REPLY" ""
is "no device is left" "$(dmsetup ls | grep -c '^p-')" 0
