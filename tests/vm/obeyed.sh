# gate: bookworm-noudev trixie-noudev
# What the metadata and lvm.conf say is obeyed as the tools obey it: docs/obeyed.md.
. /opt/vm/lib.sh
A=$(uuid 0xa) S=$(uuid 0xb)
bad_name=taken
touch /dev/$bad_name
bad "a name that /dev has makes no pool" InvalidArgument/EINVAL pool create $bad_name /dev/vda
fails "nor a VG" vgcreate -q $bad_name /dev/vda
rm /dev/$bad_name

good "a pool" pool create p /dev/vda /dev/vdb
good "a replica" replica create p "$A" 16M
quiet lvcreate -q -y -an -Zn -Wn -l1 -n wall p /dev/vda
quiet lvchange -q --alloc contiguous p/"$A"
bad "contiguous: it does not grow past what is behind it" NoSpace/ENOSPC replica resize "$A" 20M
that "the error names the policy" "'contiguous' in d['error']['message']"
fails "contiguous: nor by the tools" lvextend -q -l+1 p/"$A"
quiet lvremove -q -y p/wall
good "contiguous: it grows right behind itself" replica resize "$A" 20M
is "it is one segment" "$(field lvs seg_count p/"$A")" 1
quiet lvcreate -q -y -an -Zn -Wn -l1 -n wall p /dev/vda
quiet lvchange -q --alloc normal p/"$A"
good "normal: it grows behind the wall" replica resize "$A" 24M
ours=$(lvs --noheadings -o seg_pe_ranges p/"$A")
good "back" replica resize "$A" 20M --allow-shrink
quiet lvextend -q -l+1 p/"$A"
is "where the tools have it grow" "$ours" "$(lvs --noheadings -o seg_pe_ranges p/"$A")"
quiet lvremove -q -y p/wall

quiet vgchange -q -x n p
bad "not resizeable: no disk is added" NotResizeable/EBUSY pool add-disk p /dev/vdc
bad "not resizeable: none is removed" NotResizeable/EBUSY pool remove-disk p /dev/vdb
fails "not resizeable: nor by the tools" vgreduce -q p /dev/vdb
good "not resizeable: replicas grow" replica resize "$A" 28M
quiet vgchange -q -x y p

good "inactive" replica deactivate "$A"
quiet lvchange -q -y -My --major 253 --minor 77 p/"$A"
good "fixed minor: activated" replica activate "$A"
is "fixed minor: it has it" "$(dmsetup info -c --noheadings -o minor "$(dmname p "$A")")" 77
good "inactive again" replica deactivate "$A"
quiet dmsetup create other --major 253 --minor 77 --table "0 8 zero"
settle
bad "fixed minor: taken" MinorTaken/EBUSY replica activate "$A"
dmsetup remove other
settle
quiet lvchange -q -y -Mn p/"$A"

good "a striped replica" replica create p "$S" 16M --layout striped:2
for replica in "$A" "$S"; do
    for far in 512 none auto; do
        quiet lvchange -q -an p/"$replica"
        quiet lvchange -q -r $far p/"$replica"
        good "read ahead $far: activated" replica activate "$replica"
        ours=$(blockdev --getra /dev/p/"$replica")
        quiet lvchange -q -an p/"$replica"
        quiet lvchange -q -ay p/"$replica"
        is "read ahead $far: as the tools set it" "$ours" "$(blockdev --getra /dev/p/"$replica")"
    done
done

truncate -s 64M "$W/large"
large=$(losetup -f --show -b 4096 "$W/large")
bad "blocks of 4096 bytes: not beside 512" MixedBlockSizes/EINVAL pool add-disk p "$large"
bad "blocks of 4096 bytes: nor in a new pool" MixedBlockSizes/EINVAL pool create q /dev/vdc "$large"
fails "nor by the tools" vgcreate -q q /dev/vdc "$large"
good "blocks of 4096 bytes alone" pool create q "$large"
good "that pool goes" pool destroy q
losetup -d "$large"
lvm_ok "all is sound" p
good "the pool goes" pool destroy p
