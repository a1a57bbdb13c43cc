# gate: bookworm-noudev
# Snapshots and clones under I/O hold exactly what they should; and what a killed poolctl leaves is finished or undone.
. /opt/vm/lib.sh
A=$(uuid 0xa) POOL=mayastor-thinpool BLOCKS=512
last() { acknowledged "$W/seq"; }

good "a pool with a thin pool" pool create p /dev/vda /dev/vdb --thin-pool 192M
good "a thin replica" replica create p "$A" 256M --thin
stamps "/dev/p/$A" $BLOCKS "$W/seq"
while [ "$(last)" -lt 50 ]; do sleep 0.2; done
declare -A low high
for number in 1 2 3 4 5 6; do
    low[$number]=$(last)
    good "snapshot $number under I/O" snapshot create "$A" "$(uuid $((0x50 + number)))" --name "n/$number" --txn $number --entity-id e
    # One more may be on its way when this is read.
    high[$number]=$(($(last) + 1))
    note "the replica stood still for $(q "d['stall_us']") us"
done
for number in 1 4; do
    good "a clone of snapshot $number while the replica is written" clone create "$(uuid $((0x50 + number)))" "$(uuid $((0xc0 + number)))" --name "clone-$number"
    stamps_cut "clone $number is a clean cut of the right moment" "/dev/p/$(uuid $((0xc0 + number)))" $BLOCKS "${low[$number]}" "${high[$number]}"
    fill "/dev/p/$(uuid $((0xc0 + number)))" mine 1
done
stamps_end "snapshots"
stamps_held "no acknowledged write is lost" "/dev/p/$A" $BLOCKS "$W/seq"
for number in 2 3 4 5 6; do
    good "another clone of snapshot $number" clone create "$(uuid $((0x50 + number)))" "$(uuid $((0xd0 + number)))" --name "later-$number"
    stamps_cut "it is a clean cut of the right moment" "/dev/p/$(uuid $((0xd0 + number)))" $BLOCKS "${low[$number]}" "${high[$number]}"
done
lvm_ok "LVM finds the VG sound" p
# A snapshot that LVM takes of ours, and ours of LVM's, hold the same.
runs "LVM takes a snapshot" lvcreate -q -y -s -kn -n theirs "p/$A"
quiet lvchange -ay p/theirs
is "it is what the replica is" "$(sum /dev/p/theirs 2)" "$(sum "/dev/p/$A" 2)"
quiet lvremove -q -y p/theirs
for number in 1 4; do good "clone $number goes" replica destroy "$(uuid $((0xc0 + number)))"; done
for number in 2 3 4 5 6; do good "later clone $number goes" replica destroy "$(uuid $((0xd0 + number)))"; done
for number in 2 3 4 5 6; do good "snapshot $number goes" snapshot destroy "$(uuid $((0x50 + number)))"; done
keep=$(sum "/dev/p/$A" 2)

# Killed at each call of a kind: opening the pool finishes or undoes it, ids agree, and no thin device is left over.
ids() { # What the metadata and the kernel have of thin devices, side by side.
    local dev="/dev/p/${POOL}_tmeta"
    quiet vgchange -an p
    quiet lvchange -ay -y "p/${POOL}_tmeta"
    thin_check "$dev" >/dev/null 2>&1 || echo "thin_check fails"
    thin_dump --skip-mappings "$dev" 2>/dev/null | grep -o 'dev_id="[0-9]*"' | grep -o '[0-9]*' | sort -n | tr '\n' ' ' >"$W/kernel"
    quiet lvchange -an -y "p/${POOL}_tmeta"
    quiet poolctl pool import p /dev/vda /dev/vdb
    lvs --noheadings -a -o thin_id p | grep -o '[0-9]*' | sort -n | tr '\n' ' ' >"$W/metadata"
    cmp -s "$W/kernel" "$W/metadata" || echo "kernel: $(cat "$W/kernel") metadata: $(cat "$W/metadata")"
}
cut_all() { # WHAT UNDO "CALLS" ARGS...
    local what=$1 undo=$2 calls=$3 call number why; shift 3
    for call in $calls; do
        sweep 4
        for ((number = FIRST; ; number += STRIDE)); do
            ask cut "$call" $number "$@"
            [ "$REPLY" = killed ] || break
            settle
            ask good pool import p /dev/vda /dev/vdb
            why=$REPLY
            [ "$(field lvs transaction_id "p/$POOL")" = "$(dmsetup status "p-${POOL/-/--}-tpool" | cut -d' ' -f4)" ] || why+=" transactions differ"
            ! dmsetup info -c --noheadings -o suspended | grep -q Suspended || why+=" suspended: $(dmsetup info -c)"
            REPLY=$why; verdict "$what killed at $call $number recovers"
            $undo
        done
        $undo
    done
    swept "$what was killed at many moments" 6
    is "no thin device is left over after $what" "$(ids)" ""
    is "the data is unchanged after $what" "$(sum "/dev/p/$A" 2)" "$keep"
    lvm_ok "LVM finds it sound after $what" p
}
no_snapshot() { poolctl snapshot destroy "$(uuid 0x99)" >/dev/null 2>&1; true; }
no_replica() { poolctl replica destroy "$(uuid 0x98)" >/dev/null 2>&1; true; }
one_replica() { poolctl replica create p "$(uuid 0x98)" 32M --thin >/dev/null 2>&1; true; }
# What udevd adds are its cookies, which a kill in a call to the kernel may leave; the rest is told without it.
every="pwrite64 ioctl"
[ "$UDEV" = noudev ] || every=ioctl
cut_all "snapshot create" no_snapshot "$every" snapshot create "$A" "$(uuid 0x99)" --name n/9 --txn 9 --entity-id e
one_replica
cut_all "thin destroy" one_replica "$every" replica destroy "$(uuid 0x98)"
no_replica
if [ "$UDEV" = noudev ]; then
    cut_all "thin create" no_replica "$every" replica create p "$(uuid 0x98)" 32M --thin
    cut_all "clone create" no_replica "$every" clone create "$(uuid 0x51)" "$(uuid 0x98)" --name c
fi
good "all goes" pool destroy p
sweep 4
for ((number = FIRST; ; number += STRIDE)); do
    ask cut ioctl $number pool create p /dev/vda /dev/vdb --thin-pool 64M
    cut=$REPLY
    settle
    good "pool create with a thin pool killed at ioctl $number is repeated" pool create p /dev/vda /dev/vdb --thin-pool 64M --force
    good "and has a thin pool that works" replica create p "$(uuid 0x98)" 32M --thin
    lvm_ok "it is sound" p
    quiet poolctl pool destroy p
    [ $cut = killed ] || break
done
swept "pool create was killed at many moments" 6
