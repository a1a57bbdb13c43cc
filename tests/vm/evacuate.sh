# gate: trixie-udev trixie-noudev
# A disk in use leaves its pool under I/O: killed, continued, aborted and continued by the tools; and theirs are left alone.
. /opt/vm/lib.sh
WATCH="/dev/vda /dev/vdb /dev/vdc /dev/vdd"
L=/dev/p/$(uuid 1)
good "a pool" pool create p /dev/vda --extent-size 1M
good "a replica" replica create p "$(uuid 1)" 64M
good "an inactive one" replica create p "$(uuid 2)" 8M
fill "/dev/p/$(uuid 2)" second 8
second=$(sum "/dev/p/$(uuid 2)" 8)
good "it is inactive" replica deactivate "$(uuid 2)"
quiet lvcreate -q -y --type thin-pool -n tp -L 16m p
quiet lvcreate -q -y -V 32m --thinpool tp -n thin p
fill /dev/p/thin thin 8
thin=$(sum /dev/p/thin 8)
quiet lvcreate -q -y -n origin -L 16m p
fill /dev/p/origin origin 16
quiet lvcreate -q -y -s -n snap -L 8m p/origin
origin=$(sum /dev/p/origin 16) snap=$(sum /dev/p/snap 16)
fill /dev/p/origin changed 4
changed=$(sum /dev/p/origin 16)
good "a disk joins" pool add-disk p /dev/vdb
quiet lvcreate -q -y -n wide -i 2 -I 64k -L 16m p /dev/vda /dev/vdb
fill /dev/p/wide wide 16
wide=$(sum /dev/p/wide 16)

held() { # NAME: all data is there
    is "$1: the thin volume" "$(sum /dev/p/thin 8)" "$thin"
    is "$1: the origin and its snapshot" "$(sum /dev/p/origin 16) $(sum /dev/p/snap 16)" "$changed $snap"
    is "$1: the striped volume" "$(sum /dev/p/wide 16)" "$wide"
    lvm_ok "$1: LVM finds nothing wrong" p
}
free_of() { # NAME DISK
    is "$1" "$(pvs --noheadings -o vg_name "$2" 2>/dev/null | tr -d ' ')$(dmsetup ls | grep pvmove)$(blkid -p -o value -s TYPE "$2")" ""
}

bad "stripes have no third disk" NoSpace/ENOSPC pool remove-disk p /dev/vda
good "a third disk joins" pool add-disk p /dev/vdc
stamps "$L" 2048 "$W/seq"
good "the disk leaves under I/O" pool remove-disk p /dev/vda
that "the pool has the others" "d['disks'] == ['/dev/vdb', '/dev/vdc']"
free_of "the disk is blank, and no move is left" /dev/vda
stamps_end "moved"
stamps_held "every write is where it belongs" "$L" 2048 "$W/seq"
held "after the first move"
is "an inactive replica stays so" "$(field lvs lv_active "p/$(uuid 2)")" ""
good "it is activated" replica activate "$(uuid 2)"
is "it has its data" "$(sum "/dev/p/$(uuid 2)" 8)" "$second"

# Killed at each call of a kind, in turn; opening the pool mends the kernel, the repeated call goes on.
stamps "$L" 2048 "$W/seq"
from=/dev/vdb to=/dev/vda
swap() { local was=$from; from=$to to=$was; }
calls="pwrite64 ioctl"; [ "$UDEV" = noudev ] || calls=ioctl
for call in $calls; do
    sweep 30
    for ((number = FIRST; ; number += STRIDE)); do
        ask cut "$call" $number pool replace-disk p $from $to
        [ "$REPLY" = killed ] || { swap; break; }
        settle
        ask good pool grow p
        verdict "replace-disk killed at $call $number is mended"
        pc pool replace-disk p $from $to
        [ "$RC" = 0 ] || [ "$(q "d['error']['kind']")" = InvalidDisk ] || no "replace-disk killed at $call $number goes on" "$(said)"
        free_of "replace-disk killed at $call $number leaves nothing" $from
        swap
    done
done
swept "it was killed at many moments" 60
stamps_end "killed"
stamps_held "every write is still where it belongs" "$L" 2048 "$W/seq"
held "after the kills"

# The tools and we, in turn: while the kernel copies, slowly, the process is killed.
midway() { # DISK: a move of ours that nobody looks after
    moves_take 1
    poolctl pool remove-disk p "$1" >>"$OUT/midway.log" 2>&1 & PC=$!
    await 10 'dmsetup status 2>/dev/null | grep -qE "pvmove0.* mirror "'
    kill -9 $PC; wait $PC 2>/dev/null
    is "a move is under way" "$(lvs -a --noheadings -o lv_name,segtype -S lv_role=pvmove p 2>/dev/null | sort -u | tr -d '[]' | xargs)" "pvmove0 mirror"
}
# The kernel writes meanwhile.
refuses() { # NAME KIND ARGS...
    local name=$1 kind=$2; shift 2
    pc "$@"
    is "$name" "$RC,$(q "d['error']['kind']")" "1,$kind"
}
disk_of() { local on; on=$(field lvs devices "p/$1"); echo "${on%%(*}"; }
good "the free disk joins" pool add-disk p $to
src=$(disk_of "$(uuid 1)")
midway "$src"
refuses "what is moved is locked" Busy replica resize "$(uuid 1)" 80M
refuses "another disk waits" MoveUnderWay pool remove-disk p "$(pvs --noheadings -o pv_name -S "vg_name=p && pv_name!=$src" | head -n 1 | tr -d ' ')"
good "others are made" replica create p "$(uuid 3)" 4M
good "and go" replica destroy "$(uuid 3)"
lvm_ok "LVM finds nothing wrong midway" p
moves_take 100
runs "the tools finish our move" pvmove -q -i 1
is "nothing is on the disk" "$(field pvs pv_used "$src")" 0
held "after the tools' end"
good "the disk leaves" pool remove-disk p "$src"
free_of "it is blank" "$src"

good "it joins again" pool add-disk p "$src"
src=$(disk_of "$(uuid 1)")
midway "$src"
runs "the tools abort our move" pvmove -q --abort
is "no move is left" "$(lvs -a p | grep pvmove)" ""
held "after the abort"
midway "$src"
moves_take 100
good "we go on" pool remove-disk p "$src"
free_of "that disk is blank" "$src"
held "after our end"

good "that disk joins again" pool add-disk p "$src"
src=$(disk_of "$(uuid 1)")
moves_take 1
quiet pvmove -q -b -i 600 "$src"
refuses "theirs is left alone" MoveUnderWay pool remove-disk p "$src"
moves_take 100
runs "they finish it" pvmove -q -i 1
held "at the end"
stamps_held "every write was kept" "$L" 2048 "$W/seq"
