# gate: bookworm-noudev trixie-udev trixie-noudev
# Replicas that are arrays, beside the real tools.
. /opt/vm/lib.sh
loops 6 96
D=("${LOOPS[@]}")
# The kernel notes the state of arrays when it likes: that a refusal writes nothing is tested on the host.
WATCH=""
devices() { dmsetup ls | grep -c '^p-'; }
# What the kernel has of an array and its parts, but for numbers of devices, names and ids.
form() {
    local lv=$1 layer
    for layer in "$lv" $(dmsetup ls | cut -f1 | grep "^${lv}_" | sort); do
        dmsetup table "$layer" | sed -E 's/ nosync//; s/raid ([a-z0-9_]+) [0-9]+/raid \1 N/; s/[0-9]+:[0-9]+( [0-9]+$)?/DEV/g'
        dmsetup info -c --noheadings -o uuid,attr,segments "$layer" | sed -E 's/LVM-.{64}//'
    done
}
good "a pool" pool create p "${D[@]}"

n=0
layouts="raid0:2 raid4:2 raid6:3 raid10:2"
# With udevd the others are in raid_cut, raid_cow and adopt.
[ "$UDEV" = noudev ] && layouts+=" raid1:2 raid1:3 raid5:3 raid5:2:128K"
for layout in $layouts; do
    n=$((n + 1)); U=$(uuid $((0xa0 + n)))
    case $layout in
        raid0:2) theirs="--type raid0 -i 2" ;; raid1:2) theirs="--type raid1 -m 1" ;; raid1:3) theirs="--type raid1 -m 2" ;;
        raid4:2) theirs="--type raid4 -i 2" ;; raid5:3) theirs="--type raid5 -i 3" ;; raid5:2:128K) theirs="--type raid5 -i 2 -I 128k" ;;
        raid6:3) theirs="--type raid6 -i 3" ;; raid10:2) theirs="--type raid10 -i 2 -m 1" ;;
    esac
    good "$layout" replica create p "$U" 24M --layout "$layout"
    that "$layout is what was asked for" "d['layout'] == '$layout' and d['size'] == d['committed'] == 24 << 20 and d['active'] and d['health']['state'] == 'online'"
    fill "/dev/p/$U" "s$n" 24; s=$(sum "/dev/p/$U" 24)
    [ $layout = raid0:2 ] || { in_sync p "$U"; good "$layout is shown" replica show "$U"; that "$layout is in sync" "d['health']['sync'] == 1 and {i['state'] for i in d['health']['images']} == {'online'} and d['health']['action'] == 'idle'"; }
    is "$layout is well to LVM" "$(field lvs lv_health_status "p/$U")" ""
    runs "LVM makes another like $layout" lvcreate -q -y -Wn -Zn -n theirs -L 24m $theirs p
    is "$layout has devices as LVM's" "$(form "$(dmname p "$U")")" "$(form p-theirs)"
    is "$layout has LVM's face" "$(field lvs lv_layout,segtype,stripes,stripesize,regionsize,data_stripes,lv_size "p/$U")" "$(field lvs lv_layout,segtype,stripes,stripesize,regionsize,data_stripes,lv_size p/theirs)"
    runs "LVM removes its own" lvremove -q -y p/theirs
    good "$layout grows" replica resize "$U" 48M
    that "$layout is that long" "d['size'] == 48 << 20 and d['health']['state'] == 'online'"
    is "$layout keeps its data" "$(sum "/dev/p/$U" 24)" "$s"
    [ $layout = raid0:2 ] || in_sync p "$U"
    bad "$layout does not shrink by accident" ShrinkRefused/EINVAL replica resize "$U" 8M
    bad "$layout does not shrink" Unsupported/ENOTSUP replica resize "$U" 8M --allow-shrink
    good "$layout is deactivated" replica deactivate "$U"
    is "$layout leaves no device" "$(devices)" 0
    runs "LVM activates $layout" lvchange -q -ay "p/$U"
    is "$layout has its data under LVM" "$(sum "/dev/p/$U" 24)" "$s"
    runs "LVM grows $layout" lvextend -q -L 72m "p/$U"
    # The kernel takes level 10 for in sync when it comes again before that.
    [ $layout = raid0:2 ] || in_sync p "$U"
    good "what LVM grew is seen" replica show "$U"
    that "with its size" "d['size'] == 72 << 20 and d['layout'] == '$layout'"
    runs "LVM deactivates $layout" lvchange -q -an "p/$U"
    good "$layout is activated" replica activate "$U"
    is "$layout has its data still" "$(sum "/dev/p/$U" 24)" "$s"
    if [ $layout != raid0:2 ]; then
        in_sync p "$U"
        runs "LVM scrubs $layout" lvchange -q --syncaction check "p/$U"
        in_sync p "$U"
        is "and finds no mismatch" "$(field lvs raid_mismatch_count "p/$U")" 0
        parts=("/dev/mapper/$(dmname p "$U")_rimage_"?)
        size=$(blockdev --getsize64 "${parts[0]}")
        case $layout in
            raid1:*) is "its copies are the same on the disks" "$(for part in "${parts[@]}"; do sum "$part" $((size >> 20)); done | sort -u | wc -l)" 1 ;;
            *) chunk=65536; [ $layout != raid5:2:128K ] || chunk=131072
                runs "its stripes are right on the disks" python3 /opt/vm/parity.py "${layout%%:*}" $chunk "$size" "${parts[@]}" ;;
        esac
    fi
    lvm_ok "$layout is sound to LVM at the end" p
    good "$layout is destroyed" replica destroy "$U"
    is "nothing is left of $layout" "$(devices) $(lvs --noheadings p | wc -l)" "0 0"
done

A=$(uuid 0xa) B=$(uuid 0xb) C=$(uuid 0xc)
bad "more images than disks" NoSpace/ENOSPC replica create p "$A" 8M --layout raid1:7
bad "more than fits on a disk" NoSpace/ENOSPC replica create p "$A" 100M --layout raid1:2
bad "too few" InvalidArgument/EINVAL replica create p "$A" 8M --layout raid6:2
bad "nosync of raid6" InvalidArgument/EINVAL replica create p "$A" 8M --layout raid6:3 --nosync
good "nosync" replica create p "$A" 24M --layout raid1:2 --nosync
that "is in sync at once" "d['health']['sync'] == 1"
is "LVM knows that" "$(field lvs lv_attr "p/$A" | cut -c1)" R
fill "/dev/p/$A" nosync 24; s=$(sum "/dev/p/$A" 24)
good "and grows" replica resize "$A" 32M
lvm_ok "LVM finds that sound" p
is "the data is there" "$(sum "/dev/p/$A" 24)" "$s"
runs "LVM makes one of another kind" lvcreate -q -y -Wn -Zn -n "$B" --addtag mayastor --addtag mayastor.lv.name=b --type raid5_n -i 2 -L 16m p
good "we show it" replica show "$B"
that "by LVM's word" "d['layout'] == 'raid5_n:2'"
in_sync p "$B"
fill "/dev/p/$B" raid5n 16; b=$(sum "/dev/p/$B" 16)
good "grow it" replica resize "$B" 24M
good "deactivate it" replica deactivate "$B"
good "activate it" replica activate "$B"
is "and keep its data" "$(sum "/dev/p/$B" 16)" "$b"
in_sync p "$B"
good "one that is zeroed whole" replica create p "$C" 8M --layout raid1:2 --zero full
runs "is zeroes" python3 -c 'import sys; sys.exit(any(open(sys.argv[1], "rb").read(8 << 20)))' "/dev/p/$C"
good "it goes" replica destroy "$C"
good "all are in the pool" pool export p
is "no device is left" "$(devices)" 0

# A disk is lost.
good "the pool comes back" pool import p "${D[@]}"
good "arrays, too" replica list p
that "all active" "all(r['active'] for r in d) and len(d) == 2"
good "a linear one on the last room" replica create p "$C" 8M
good "the first is deactivated" replica deactivate "$A"
good "and the second" replica deactivate "$B"
gone=$(pvs --noheadings -o pv_name -S "lv_name=~${A}_rimage_0" | tr -d ' ' | head -n 1)
[ -n "$gone" ] || gone=$(lvs -a --noheadings -o devices "p/${A}_rimage_0" | tr -d ' ' | sed 's/(.*//; q')
quiet losetup -d "$gone"; settle
good "the pool" pool show p
that "says that it is degraded and what is" "d['state'] == 'degraded' and any('$A is degraded' in r for r in d['reasons'])"
good "the linear one goes on" replica deactivate "$C"
good "and comes" replica activate "$C"
bad "the array is not activated like that" MissingPv/EBUSY replica activate "$A"
good "but when asked to" replica activate "$A" --degraded
that "without an image" "d['active'] and d['health']['state'] == 'degraded' and [i['state'] for i in d['health']['images']].count('missing') == 1"
is "its data is there" "$(sum "/dev/p/$A" 24)" "$s"
good "and goes again" replica deactivate "$A"
runs "LVM agrees" lvchange -q -ay --activationmode degraded "p/$A"
runs "in that, too" lvchange -q -an "p/$A"
