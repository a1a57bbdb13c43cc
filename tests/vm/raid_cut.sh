# gate: trixie-udev
# boots: 5
# The machine is reset while arrays are synchronised, converted, repaired and moved to another disk; a disk is unplugged.
. /opt/vm/lib.sh
A=$(uuid 0xa) B=$(uuid 0xb)
# Slow enough that a reset comes before the end; the settings are there with the module.
quiet modprobe dm-raid
write() { python3 /opt/vm/stamp.py sync "/dev/p/$1" 1024 "$W/seq-$1" "$2"; }
# The number of the last write is kept on a disk of its own.
keep() { quiet dd if="$W/seq-$1" of=/dev/vdf bs=4k seek="$2" oflag=direct conv=sync; quiet sync; }
kept() { dd if=/dev/vdf of="$W/seq-$1" bs=8 count=1 skip=$(($2 * 512)) status=none; }
check() { kept "$1" "$2"; stamps_held "$3" "/dev/p/$1" 1024 "$W/seq-$1"; }
copies() { # NAME UUID COUNT
    local image sums=""
    for ((image = 0; image < $3; image++)); do sums+=$(sum "/dev/mapper/$(dmname p "$2")_rimage_$image" 48)$'\n'; done
    is "$1" "$(sort -u <<<"${sums%$'\n'}" | wc -l)" 1
}
syncing() { case $(dmsetup status "$(dmname p "$1")") in *" idle "*) no "$2" "$(dmsetup status "$(dmname p "$1")")" ;; *) ok "$2" ;; esac; }
case $BOOT in
1)
    arrays_fill slow
    good "a pool" pool create p /dev/vda /dev/vdb /dev/vdc /dev/vdd --extent-size 1M
    good "copies" replica create p "$A" 48M --layout raid1:2
    good "parity" replica create p "$B" 48M --layout raid5:2
    good "the copies are shown" replica show "$A"
    that "while they are made the same" "d['health']['state'] == 'online' and d['health']['sync'] < 1"
    is "LVM says the same of what goes on" "$(q "d['health']['action']")" "$(field lvs raid_sync_action "p/$A")"
    is "and of the health" "$(field lvs lv_health_status "p/$A")" ""
    for u in "$A" "$B"; do write "$u" 300; done
    keep "$A" 0; keep "$B" 1
    syncing "$A" "the copies are not in sync at the reset"
    ;;
2)
    arrays_fill slow
    good "the pool comes back" pool import p /dev/vda /dev/vdb /dev/vdc /dev/vdd
    check "$A" 0 "the copies have all that was written before they were in sync"
    check "$B" 1 "so has parity"
    lvm_ok "LVM finds nothing wrong" p
    arrays_fill fast
    in_sync p "$A"; in_sync p "$B"
    copies "the copies are the same" "$A" 2
    arrays_fill slow
    good "another copy is added" replica convert "$A" --layout raid1:3
    syncing "$A" "it is not filled at the reset"
    write "$A" 300; keep "$A" 0
    ;;
3)
    arrays_fill fast
    good "the pool comes back with it" pool import p /dev/vda /dev/vdb /dev/vdc /dev/vdd
    check "$A" 0 "all is there while it is filled"
    in_sync p "$A"
    good "it is filled" replica show "$A"
    that "and nothing else is wrong" "d['layout'] == 'raid1:3' and d['health']['state'] == 'online' and d['health']['sync'] == 1"
    copies "the three are the same" "$A" 3
    is "no mark is left" "$(vgcfgbackup -f "$W/text" p >/dev/null; grep -c REBUILD "$W/text")" 0
    good "back to two" replica convert "$A" --layout raid1:2
    python3 /opt/vm/stamp.py sync "/dev/p/$A" 1024 "$W/seq-$A" & WRITER=$!
    python3 /opt/vm/stamp.py sync "/dev/p/$B" 1024 "$W/seq-$B" & OTHER=$!
    gone=$(field lvs devices -a "p/${A}_rimage_0" | sed 's/(.*//; s/.*dev.//')
    echo 1 >"/sys/block/$gone/device/../remove"
    settle
    sleep 1
    good "the pool misses the disk that was unplugged" pool show p
    that "and is degraded" "d['state'] == 'degraded'"
    arrays_fill slow
    good "the copies are repaired" replica repair "$A"
    good "parity is repaired" replica repair "$B"
    syncing "$A" "it is not filled at the reset"
    kill -TERM $WRITER $OTHER
    wait $WRITER; is "the copies' writer saw no error" $? 0
    wait $OTHER; is "parity's writer saw no error" $? 0
    keep "$A" 0; keep "$B" 1
    ;;
4)
    arrays_fill fast
    good "the pool comes back with the disk that was gone" pool import p /dev/vda /dev/vdb /dev/vdc /dev/vdd
    check "$A" 0 "the copies have all"
    check "$B" 1 "parity has all"
    good "the disk is taken back" pool repair p
    that "and the pool is whole" "d['state'] == 'online'"
    in_sync p "$A"; in_sync p "$B"
    copies "the copies are the same" "$A" 2
    lvm_ok "LVM finds nothing wrong" p
    old=$(field lvs devices -a "p/${A}_rimage_1" | sed 's/(.*//')
    poolctl pool replace-disk p "$old" /dev/vde >"$OUT/replaced" 2>&1 &
    sleep "$(python3 -c 'import random; print(random.uniform(0.5, 3))')"
    ;;
5)
    good "the pool comes back" pool list
    disks=$(q "' '.join(sorted(disk for disk in d[0]['disks'] if disk != '/dev/vde'))")
    good "with all its disks" pool import p $(q "' '.join(d[0]['disks'])")
    good "it is active" replica list p
    check "$A" 0 "the copies have all"
    check "$B" 1 "parity has all"
    set -- $disks
    if [ $# = 4 ]; then
        # It did not come to the end; any disk but the new one may be the old one.
        vgcfgbackup -f "$W/text" p >/dev/null
        for old in "$@"; do
            pc pool replace-disk p "$old" /dev/vde
            [ "$RC" != 0 ] || break
        done
        is "the disk is replaced at the second try" "$RC" 0
    fi
    good "the pool" pool show p
    that "has the new disk" "len(d['disks']) == 4 and '/dev/vde' in d['disks'] and d['state'] == 'online'"
    in_sync p "$A"; in_sync p "$B"
    copies "the copies are the same" "$A" 2
    lvm_ok "LVM finds nothing wrong at the end" p
    check "$A" 0 "the copies have all at the end"
    check "$B" 1 "parity has all at the end"
    ;;
esac
