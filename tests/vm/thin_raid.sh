# gate: trixie-udev
# Thin pools whose data and metadata are arrays, beside the real tools.
. /opt/vm/lib.sh
loops 6 96
sectors=$(($(blockdev --getsz "${LOOPS[5]}") - 2048))
# One of the disks can be lost under I/O.
quiet dmsetup create frail --table "0 $sectors linear ${LOOPS[5]} 2048"
settle
D=(/dev/mapper/frail "${LOOPS[@]:0:5}")
# The kernel notes the state of arrays when it likes: that a refusal writes nothing is tested on the host.
WATCH=""
U=$(uuid 0xa) POOL=mayastor-thinpool
devices() { dmsetup ls | grep -c '^p-'; }
all_in_sync() {
    await 60 '[ "$(lvs -a --noheadings -o sync_percent -S "segtype=~^raid" p | tr -d " " | sort -u)" = 100.00 ]' || no "in sync" "$(lvs -a -o name,sync_percent p)"
}
# What the kernel has of a thin pool, but for numbers of devices, names and ids.
form() {
    local layer
    for layer in $(dmsetup ls | cut -f1 | grep -E "^p-$1(-tpool|_t)" | sort); do
        echo "${layer#"p-$1"}"
        dmsetup table "$layer" | sed -E 's/[0-9]+:[0-9]+( [0-9]+$)?/DEV/g'
        dmsetup info -c --noheadings -o uuid,attr,segments "$layer" | sed -E 's/LVM-.{64}//'
    done
}
# LVM does not take apart what lacks a disk.
take_apart() {
    local layer
    for layer in -tpool _tdata _tmeta; do quiet dmsetup remove --retry "p-${POOL/-/--}$layer"; done
    for layer in $(dmsetup ls | cut -f1 | grep "^p-"); do quiet dmsetup remove --retry "$layer"; done
    is "nothing is left of the thin pool" "$(devices)" 0
}
grows() { # LAYOUT
    good "$1 grows" thin extend p --data 40M --metadata 8M
    that "$1 has both" "(d['data_size'], d['metadata_size'], d['layout']) == (40 << 20, 8 << 20, '$1')"
    is "$1 has its data when it grew" "$(sum "/dev/p/$U" 8)" "$s"
}

for layout in raid1:2 raid10:2; do
    if [ $layout = raid1:2 ]; then theirs="raid1 -m 1"; else theirs="raid10 -i 2 -m 1"; fi
    good "a pool with a thin pool as $layout" pool create p "${D[@]}" --thin-pool 24M --thin-layout $layout
    that "tells its layout" "d['thin_pool']['layout'] == '$layout' and d['state'] == 'online'"
    is "it needs no device yet" "$(devices)" 0
    good "$layout: a thin replica" replica create p "$U" 32M --thin
    images=$([ $layout = raid1:2 ] && echo 4 || echo 6)
    that "tells the images of data and metadata" "len(d['health']['images']) == $images and d['health']['state'] == 'online'"
    fill "/dev/p/$U" "$layout" 8; s=$(sum "/dev/p/$U" 8)
    # While the first synchronisation may run.
    good "$layout is left to LVM" pool export p
    is "without a device" "$(devices)" 0
    runs "LVM activates it" lvchange -q -ay "p/$U"
    is "with its data" "$(sum "/dev/p/$U" 8)" "$s"
    all_in_sync
    runs "LVM deactivates it" vgchange -q -an p
    good "$layout comes back" pool import p "${D[@]}"
    good "as it was" replica show "$U"
    that "in sync" "d['active'] and d['health']['sync'] == 1 and {i['state'] for i in d['health']['images']} == {'online'}"
    is "$layout has its data still" "$(sum "/dev/p/$U" 8)" "$s"
    runs "LVM makes data for a twin" lvcreate -q -y -Wn -Zn -n twin -L 24m --type $theirs p
    runs "and metadata" lvcreate -q -y -Wn -Zn -n meta -L 4m --type raid1 -m 1 p
    runs "and the twin" lvconvert -q -y --type thin-pool --poolmetadata p/meta --poolmetadataspare n p/twin
    runs "with a thin LV" lvcreate -q -y -V 32m --thinpool p/twin -n thin
    is "$layout has devices as LVM's" "$(form "${POOL/-/--}")" "$(form twin)"
    is "and LVM's face" "$(field lvs segtype,stripes,stripesize,regionsize,lv_size,lv_layout -a "p/${POOL}_tdata")" "$(field lvs segtype,stripes,stripesize,regionsize,lv_size,lv_layout -a p/twin_tdata)"
    runs "the twin goes" lvremove -q -y p/twin
    grows $layout
    lvm_ok "$layout is sound to LVM" p
    runs "LVM grows it" lvextend -q -L 48m "p/$POOL"
    good "what LVM grew is seen" thin status p
    that "with its size" "d['data_size'] == 48 << 20 and d['layout'] == '$layout' and d['state'] == 'online'"
    is "$layout has its data at the end" "$(sum "/dev/p/$U" 8)" "$s"
    [ $layout = raid1:2 ] || break
    good "it goes" pool destroy p
done

# A disk is lost under I/O.
all_in_sync
good "it is deactivated" replica deactivate "$U"
U=$(uuid 0xb)
good "a thin replica for a writer" replica create p "$U" 8M --thin
stamps "/dev/p/$U" 512 "$W/seq"
quiet dmsetup load frail --table "0 $sectors error"
quiet dmsetup resume frail
degraded p "${POOL}_tdata"
stamps_end "without a disk"
stamps_held "every acknowledged write is there" "/dev/p/$U" 512 "$W/seq"
good "the pool" pool show p
that "says what is degraded" "d['state'] == 'degraded' and any('$U is degraded' in r for r in d['reasons']) and any('$POOL' in r and 'degraded array' in r for r in d['reasons']) and d['thin_pool']['health']['state'] == 'degraded'"
good "the replica" replica show "$U"
that "too" "d['health']['state'] == 'degraded' and {'missing', 'online'} == {i['state'] for i in d['health']['images']}"
used=$(dmsetup status "p-${POOL/-/--}-tpool" | cut -d' ' -f6)
good "it is deactivated" replica deactivate "$U"
take_apart
bad "it is not activated like that" MissingPv/EBUSY replica activate "$U"
good "but when asked to" replica activate "$U" --degraded
that "without an image" "d['active'] and d['health']['state'] == 'degraded'"
stamps_held "every acknowledged write is there still" "/dev/p/$U" 512 "$W/seq"
good "and goes again" replica deactivate "$U"
take_apart
quiet dmsetup load frail --table "0 $sectors linear ${LOOPS[5]} 2048"
quiet dmsetup resume frail
good "with the disk back, what is in use is read from copies that were not gone" thin status p
that "to the chunk" "d['state'] == 'inactive' and d['data_used'] == ${used%%/*} * d['chunk_size']"
good "the replica comes" replica activate "$U"
quiet dmsetup load frail --table "0 $sectors error"
quiet dmsetup resume frail
good "the disk, which is lost for good, is taken out" pool remove-disk p /dev/mapper/frail
good "the pool is whole" pool show p
that "again" "d['state'] == 'online' and len(d['disks']) == 5 and {i['state'] for i in d['thin_pool']['health']['images']} == {'online'}"
stamps_held "every acknowledged write is there at the end" "/dev/p/$U" 512 "$W/seq"
lvm_ok "LVM finds it sound without the disk" p
good "all goes" pool destroy p
quiet dmsetup load frail --table "0 $sectors linear ${LOOPS[5]} 2048"
quiet dmsetup resume frail
quiet wipefs -q -a /dev/mapper/frail
is "no device is left" "$(devices)" 0

# What LVM made an array of is taken as it is.
U=$(uuid 0xc)
good "a linear pool" pool create p "${D[@]}" --thin-pool 24M
good "with a replica" replica create p "$U" 32M --thin
fill "/dev/p/$U" converted 8; s=$(sum "/dev/p/$U" 8)
runs "LVM copies its data" lvconvert -q -y -m 1 "p/${POOL}_tdata"
runs "and its metadata" lvconvert -q -y -m 1 "p/${POOL}_tmeta"
good "we see that" replica show "$U"
that "in the images" "len(d['health']['images']) == 4"
grows raid1:2
all_in_sync
# Killed at calls to the kernel: opening the pool undoes or finishes the growth.
size=40
sweep 11
for ((number = 44 + FIRST; ; number += STRIDE)); do
    ask cut ioctl $number thin extend p --data $((size + 4))M
    [ "$REPLY" = killed ] || break
    settle
    good "a growth killed at ioctl $number is mended" pool import p "${D[@]}"
    that "to the old size or the new" "d['state'] == 'online' and d['thin_pool']['data_size'] >> 20 in ($size, $size + 4)"
    size=$(($(q "d['thin_pool']['data_size']") >> 20))
    is "of all devices" "$(for layer in _tdata _tdata_rimage_0 _tdata_rimage_1 -tpool; do dmsetup table "p-${POOL/-/--}$layer" | awk '{ n += $2 } END { print n / 2048 }'; done | sort -u)" $size
done
swept "a growth was killed at many moments" 60
lvm_ok "LVM finds it sound" p
is "its data are there at the end" "$(sum "/dev/p/$U" 8)" "$s"
good "and it goes" pool destroy p
is "no device is left at the end" "$(devices)" 0
quiet dmsetup remove --retry frail
