# gate: bookworm-noudev
# A poolctl that is killed at any moment: the next one finishes or undoes what was cut.
. /opt/vm/lib.sh
good "a pool" pool create p /dev/vda /dev/vdb
good "a replica with data" replica create p "$(uuid 1)" 16M
fill "/dev/p/$(uuid 1)" keep 16
keep=$(sum "/dev/p/$(uuid 1)" 16)

# What a killed process leaves of udev's cookies, too, the next one removes.  Kills at writes to the disks, to which udevd is
# nothing, are told without it.
writes="pwrite64 "
[ "$UDEV" = noudev ] || writes=
# Opens the pool again as a restarted program does, and looks that all is sound.
recovers() { # NAME
    ask good pool import p /dev/vda /dev/vdb
    local why=$REPLY said
    said=$(lvs --noheadings -o lv_name,lv_active,lv_tags p 2>&1)
    ! grep -v '^$' <<<"$said" | grep -qv ' active ' || why+=" not all active: $said"
    [ "$(dmsetup ls | grep -c '^p-')" = "$(grep -c . <<<"$said")" ] || why+=" devices: $(dmsetup ls) LVs: $said"
    REPLY=$why
    verdict "$1"
}
# Kills a command at its first call of each kind to the kernel, its second, and so on, until it comes through.
cut_all() { # WHAT UNDO "CALLS" ARGS...
    local what=$1 undo=$2 calls=$3 call number; shift 3
    for call in $calls; do
        sweep 4
        for ((number = FIRST; ; number += STRIDE)); do
            ask cut "$call" $number "$@"
            [ "$REPLY" = killed ] || break
            settle
            recovers "$what killed at $call $number recovers"
            $undo
        done
        $undo
    done
    swept "$what was killed at many moments" 5
    lvm_ok "LVM finds it sound after $what" p
}
no_more() { # All or none are there.
    local lv made=0
    for lv in $(lvs --noheadings -o lv_name p); do
        case $lv in "$(uuid 1)" | "$(uuid 2)") ;; *) made=$((made + 1)); quiet poolctl replica destroy "$lv" ;; esac
    done
    [ $((made % 5)) = 0 ] || no "all or none of many are there" "$made"
}
no_second() { poolctl replica destroy "$(uuid 2)" >/dev/null 2>&1; true; }
same_size() { quiet poolctl replica resize "$(uuid 1)" 16M --allow-shrink; }
cut_all "create" no_second "${writes}ioctl mknodat symlink" replica create p "$(uuid 2)" 8M --zero none
cut_all "create with zeroing" no_second "${writes}ioctl" replica create p "$(uuid 2)" 8M --zero full
cut_all "resize" same_size "${writes}ioctl" replica resize "$(uuid 1)" 40M
is "the data is unchanged" "$(sum "/dev/p/$(uuid 1)" 16)" "$keep"
second() { poolctl replica create p "$(uuid 2)" 8M --zero none >/dev/null 2>&1; true; }
second
cut_all "destroy" second "${writes}ioctl unlink" replica destroy "$(uuid 2)"
is "the data is still unchanged" "$(sum "/dev/p/$(uuid 1)" 16)" "$keep"
lvm_ok "LVM finds it sound" p
cut_all "create of many" no_more pwrite64 replica create-many p 5 4M

# Pools: what was cut is repeated, and succeeds.
for call in ${writes}ioctl unlink; do
    sweep 4
    for ((number = FIRST; ; number += STRIDE)); do
        ask cut $call $number pool destroy p
        cut=$REPLY
        settle
        pc pool destroy p
        [ "$RC" = 0 ] || [ "$(q "d['error']['kind']")" = PoolNotFound ] || no "pool destroy killed at $call $number is repeated" "$(said)"
        ask leaks; is "pool destroy killed at $call $number and repeated leaves nothing" "$REPLY" ""
        is "pool destroy killed at $call $number ends with blank disks" "$(blkid -p -o value -s TYPE /dev/vda /dev/vdb)" ""
        is "pool destroy killed at $call $number leaves no device" "$(dmsetup ls | grep -c '^p-')" 0
        quiet poolctl pool create p /dev/vda /dev/vdb
        quiet poolctl replica create p "$(uuid 1)" 8M --zero none
        [ $cut = killed ] || break
    done
done
swept "pool destroy was killed at many moments" 5
good "the pool goes" pool destroy p
sweep 4
for ((number = FIRST; ; number += STRIDE)); do
    ask cut pwrite64 $number pool create p /dev/vda /dev/vdb
    cut=$REPLY
    settle
    good "pool create killed at write $number is repeated" pool create p /dev/vda /dev/vdb --force
    lvm_ok "pool create killed at write $number ends with a sound pool" p
    quiet poolctl pool destroy p
    [ $cut = killed ] || break
done
swept "pool create was killed at many moments" 4
quiet poolctl pool create p /dev/vda /dev/vdb
sweep 4
for ((number = FIRST; ; number += STRIDE)); do
    ask cut pwrite64 $number pool add-disk p /dev/vdc
    cut=$REPLY
    settle
    pc pool add-disk p /dev/vdc
    is "add-disk killed at write $number and repeated has the disk" "$(field vgs pv_count p)" 3
    lvm_ok "add-disk killed at write $number ends with a sound pool" p
    quiet poolctl pool remove-disk p /dev/vdc
    [ $cut = killed ] || break
done
swept "add-disk was killed at many moments" 4
quiet poolctl pool destroy p
