# Device names, uuids, tables, nodes and links are the same, whoever activates an LV.
. /opt/vm/lib.sh
A=$(uuid 0xa) B=$(uuid 0xb) C=$(uuid 0xc)

compare() { # NAME VG LV
    local ours
    quiet poolctl replica activate "$3"
    ours=$(face "$2" "$3")
    quiet vgchange -q -an "$2"
    quiet lvchange -q -ay "$2/$3"
    same_face "$1" "$ours" "$(face "$2" "$3")"
    quiet lvchange -q -an "$2/$3"
    quiet poolctl replica activate "$3"
    same_face "$1, activated by us" "$(face "$2" "$3")" "$ours"
}
good "a pool with dashes in its name" pool create my--pool-1 /dev/vda /dev/vdb /dev/vdc
good "a linear replica" replica create my--pool-1 "$A" 12M
good "a striped replica" replica create my--pool-1 "$B" 16M --layout striped:2:128K
compare "a linear replica is the same device" my--pool-1 "$A"
compare "a striped replica is the same device" my--pool-1 "$B"
good "something behind it" replica create my--pool-1 "$C" 4M
good "it grows into a second segment" replica resize "$A" 300M
good "it is activated" replica activate "$A"
is "it has several segments" "$(($(dmsetup table "$(dmname my--pool-1 "$A")" | wc -l) > 1))" 1
compare "a replica of several segments is the same device" my--pool-1 "$A"
good "the striped one grows" replica resize "$B" 64M
compare "a resized striped replica is the same device" my--pool-1 "$B"

# After a resize by either side, before any reactivation.
good "the last is activated" replica activate "$C"
good "we resize" replica resize "$C" 8M
ours=$(dmsetup table "$(dmname my--pool-1 "$C")")
quiet lvchange -q --refresh "my--pool-1/$C"
is "LVM's refresh changes nothing" "$(dmsetup table "$(dmname my--pool-1 "$C")")" "$ours"

# Nodes of LVs beside each other.
quiet lvcreate -q -y -Wn -n theirs -L 12m my--pool-1
is "nodes have the same owner and mode" "$(stat -c '%U %G %a %F' "/dev/mapper/$(dmname my--pool-1 "$C")" -L)" "$(stat -c '%U %G %a %F' "/dev/mapper/$(dmname my--pool-1 theirs)" -L)"
if [ "$UDEV" = udev ]; then
    # Some properties tell of the last event: let that be one of a kind, as after any write.
    for name in "$C" theirs; do
        udevadm trigger --action=change "$(readlink -f "/dev/my--pool-1/$name")"
    done
    settle
    for name in "$C" theirs; do
        node=$(basename "$(readlink -f "/dev/my--pool-1/$name")")
        udevadm info --query=symlink "/dev/$node" | tr ' ' '\n' | sed -E "s/$name|${name//-/--}/LV/; s/uuid-.*/uuid/; s/diskseq.*/diskseq/; s/$node/dm-N/" | sort >"$W/links.$name"
        udevadm info --query=property "/dev/$node" | grep -oE '^DM_[A-Z0-9_]+' | sort >"$W/properties.$name"
    done
    is "udev knows the same links of ours" "$(<"$W/links.$C")" "$(<"$W/links.theirs")"
    is "udev knows the same properties of ours" "$(<"$W/properties.$C")" "$(<"$W/properties.theirs")"
fi
quiet lvremove -q -y my--pool-1/theirs
good "the pool goes" pool destroy my--pool-1
