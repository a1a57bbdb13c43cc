# gate: bookworm-noudev trixie-noudev
# Copies of the metadata that were hurt are mended as vgck --updatemetadata mends them.
. /opt/vm/lib.sh
A=$(uuid 0xa)
hurt() { dd if=/dev/urandom of="$1" bs=512 seek="$2" count=1 oflag=direct conv=notrunc status=none; }
# What is wrong, and the state of each metadata area.
state() {
    inspect --json /dev/vda /dev/vdb /dev/vdc >"$W/json" 2>/dev/null
    q "[sorted({problem['what'] for vg in d for problem in vg['problems']}), [mda['state'] for vg in d if vg['name'] for pv in vg['pvs'] for mda in pv['mdas']]]" "$W/json"
}
sound="[[], ['current', 'current', 'current']]"
good "a pool" pool create p /dev/vda /dev/vdb /dev/vdc
good "a replica" replica create p "$A" 16M
fill "/dev/p/$A" keep 16
keep=$(sum "/dev/p/$A" 16)
is "nothing is wrong" "$(state)" "$sound"
ask mark "$WATCH"
good "then there is nothing to mend" pool repair p
ask written "$WATCH"; is "and nothing is written" "$REPLY" ""

# The sector of the committed text, by the header's first slot.
text() { echo $((8 + $(dd if="$1" bs=512 skip=8 count=1 iflag=direct status=none | od -An -t u8 -j 40 -N 8) / 512)); }
for part in header text; do
    if [ $part = header ]; then hurt /dev/vdb 8; else hurt /dev/vdb "$(text /dev/vdb)"; fi
    good "a disk whose $part is hurt" pool show p
    that "the pool complains of its $part and of no other disk's" "d['reasons'] and all(why.startswith('/dev/vdb, byte ') for why in d['reasons'])"
    good "its $part is mended" pool repair p
    that "the pool has nothing to complain of the $part" "d['reasons'] == []"
    is "all areas are current after the $part" "$(state)" "$sound"
    lvm_ok "LVM finds nothing wrong with the $part" p
done
# The tools leave broken headers to pvck --repair, and read no text whose header names the one that they read already.
hurt /dev/vda "$(text /dev/vda)"
runs "the tools mend the text that they read" vgck --updatemetadata p
is "as we do" "$(state)" "$sound"
hurt /dev/vda 8
hurt /dev/vdc "$(text /dev/vdc)"
good "two of three" pool repair p
is "are mended" "$(state)" "$sound"
is "LVM uses all three" "$(field vgs vg_mda_used_count p)" 3

# Two histories of one age: each of three times the copies lie otherwise.
heads() { local disk; for disk in vda vdb vdc; do dd if=/dev/$disk of="$W/$1-$disk" bs=1M count=1 iflag=direct status=none; done; }
lay() { dd if="$W/$1-$2" of="/dev/$2" bs=1M oflag=direct conv=notrunc status=none; }
for order in "one two one" "two one one" "one one two"; do
    heads base
    quiet lvcreate -q -y -an -Zn -Wn -n one -L 4m p
    heads one
    for disk in vda vdb vdc; do lay base $disk; done
    quiet lvcreate -q -y -an -Zn -Wn -n two -L 8m p
    heads two
    read -r first second third <<<"$order"
    lay "$first" vda; lay "$second" vdb; lay "$third" vdc
    good "copies that differ ($order)" pool show p
    is "we read what the tools read ($order)" "$(inspect --text /dev/vda /dev/vdb /dev/vdc | grep -c "^$first {")" "$(lvs --noheadings -o lv_name p 2>/dev/null | grep -c "$first")"
    bad "nothing is changed meanwhile ($order)" DuplicatePv/EBUSY replica set "$A" --name other
    heads differing
    quiet vgck --updatemetadata p
    theirs=$(lvs --noheadings -o lv_name p | tr -d ' ' | sort)
    for disk in vda vdb vdc; do lay differing $disk; done
    good "they are mended ($order)" pool repair p
    is "to what the tools make of them ($order)" "$(lvs --noheadings -o lv_name p | tr -d ' ' | sort)" "$theirs"
    is "what was dropped is in the archive ($order)" "$(grep -l "Created .before. executing 'repair pool'" /etc/lvm/archive/p_* | xargs grep -lE "^\s+$([ "$first" = one ] && echo two || echo one) \{" | wc -l | sed 's/^[1-9].*/kept/')" kept
    is "all areas are current ($order)" "$(state)" "$sound"
    lvm_ok "LVM finds nothing wrong ($order)" p
    quiet lvremove -q -y "p/$first"
done

dd if=/dev/vdc of="$W/head" bs=1M count=1 iflag=direct status=none
quiet vgreduce -q p /dev/vdc
dd if="$W/head" of=/dev/vdc bs=1M oflag=direct status=none
good "a disk that left comes back" pool show p
that "the pool complains" "d['reasons'] and d['disks'] == ['/dev/vda', '/dev/vdb']"
good "and is mended" pool repair p
that "it complains no more" "d['reasons'] == []"
is "the disk is free" "$(field pvs vg_name /dev/vdc)" ""
lvm_ok "LVM finds nothing wrong at the end" p
is "the data is unchanged" "$(sum "/dev/p/$A" 16)" "$keep"
good "the free disk is taken again" pool add-disk p /dev/vdc
good "the pool goes" pool destroy p
