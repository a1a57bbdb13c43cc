# gate: bookworm-noudev
# Disks with images of arrays leave their pool under I/O: killed, continued, and finished by the tools.
. /opt/vm/lib.sh
loops 6 80
D=("${LOOPS[@]}")
# The kernel notes the state of arrays when it likes: that a refusal writes nothing is tested on the host.
WATCH=""
WRITTEN=()
ONE=$(uuid 1) FIVE=$(uuid 5) TEN=$(uuid 10)
apart() { # NAME: no disk has two images of an array, and each image is with its metadata
    lvs -a --noheadings -o lv_name,devices p 2>/dev/null >"$W/places"
    is "$1: images are on disks of their own, with their metadata" "$(awk '
        match($1, /_r(image|meta)_[0-9]+/) {
            sub(/\(.*/, "", $2)
            of = substr($1, 2, RSTART - 2) " " $2
            if ($1 ~ /_rimage_/) images[of]++; else metas[of]++
        }
        END { for (of in images) if (images[of] != 1 || metas[of] != 1) print of, images[of], metas[of] }' "$W/places")" ""
}
start() { # LV...: a writer for each
    local lv
    for lv in "$@"; do stamps "/dev/p/$lv" 1024 "$W/seq-$lv"; done
    WRITTEN=("$@")
}
stop() { # NAME: what the writers wrote is there
    local lv
    stamps_end "$1"
    for lv in "${WRITTEN[@]}"; do
        stamps_held "$1: every write to $lv is where it belongs" "/dev/p/$lv" 1024 "$W/seq-$lv"
    done
    lvm_ok "$1: LVM finds nothing wrong" p
    apart "$1"
}
whole() { # NAME: all images hold what they should
    local lv
    for lv in "$ONE" "$FIVE" "$TEN"; do
        good "$1: $lv is checked" replica scrub "$lv"
        that "$1: $lv is whole" "d['mismatches'] == 0 and d['health']['state'] == 'online'"
    done
}
free_of() { # NAME DISK
    is "$1" "$(pvs --noheadings -o vg_name "$2" 2>/dev/null | tr -d ' ')$(dmsetup ls | grep pvmove)$(blkid -p -o value -s TYPE "$2")" ""
}
disk_of() { local on; on=$(field lvs devices "p/$1" -a); echo "${on%%(*}"; } # IMAGE
refuses() { # NAME KIND ARGS...: the kernel writes meanwhile
    local name=$1 kind=$2; shift 2
    pc "$@"
    is "$name" "$RC,$(q "d['error']['kind']")" "1,$kind"
}

good "a pool" pool create p "${D[@]:0:4}" --extent-size 1M
good "copies" replica create p "$ONE" 12M --layout raid1:2
good "parity" replica create p "$FIVE" 12M --layout raid5:2
good "copies of stripes" replica create p "$TEN" 12M --layout raid10:2
for lv in "$ONE" "$FIVE" "$TEN"; do in_sync p "$lv"; done
start "$ONE" "$FIVE" "$TEN"
refuses "the images have no fifth disk" NoSpace pool remove-disk p "${D[0]}"
good "a fifth disk joins" pool add-disk p "${D[4]}"
good "a disk leaves" pool remove-disk p "${D[0]}"
free_of "it is blank, and no move is left" "${D[0]}"
good "another is replaced by it" pool replace-disk p "${D[1]}" "${D[0]}"
free_of "that one is blank" "${D[1]}"
stop "moved"
whole "moved"
good "an array is deactivated" replica deactivate "$FIVE"
good "and moved" pool replace-disk p "${D[0]}" "${D[1]}"
good "and activated" replica activate "$FIVE"
apart "moved inactive"
stamps_held "with its data" "/dev/p/$FIVE" 1024 "$W/seq-$FIVE"

# Killed at each call of a kind, in turn; opening the pool mends the kernel, the repeated call goes on.
start "$ONE" "$FIVE" "$TEN"
from=${D[1]} to=${D[0]}
calls="pwrite64 ioctl"; [ "$UDEV" = noudev ] || calls=ioctl
for call in $calls; do
    sweep 60
    for ((number = FIRST; ; number += STRIDE)); do
        moment="$call $number"
        ask cut "$call" "$number" pool replace-disk p "$from" "$to"
        was=$from from=$to to=$was
        [ "$REPLY" = killed ] || break
        settle
        ask good pool grow p
        verdict "replace-disk killed at $moment is mended"
        pc pool replace-disk p "$to" "$from"
        [ "$RC" = 0 ] || [ "$(q "d['error']['kind']")" = InvalidDisk ] || no "replace-disk killed at $moment goes on" "$(said)"
        free_of "replace-disk killed at $moment leaves nothing" "$to"
    done
done
swept "it was killed at many moments" 60
stop "killed"

# The tools and we, in turn: while the kernel copies, slowly, the process is killed.
midway() { # DISK: a move of ours that nobody looks after
    moves_take 1
    poolctl pool remove-disk p "$1" >>"$OUT/midway.log" 2>&1 & PC=$!
    await 10 '[ -e /dev/mapper/p-pvmove0 ] && dmsetup status 2>/dev/null | grep -qE "pvmove0.* mirror "'
    kill -9 $PC; wait $PC 2>/dev/null
    is "a move is under way" "$(lvs -a --noheadings -o lv_name,segtype -S lv_role=pvmove p 2>/dev/null | sort -u | tr -d '[]' | xargs)" "pvmove0 mirror"
}
good "the free disk joins" pool add-disk p "$to"
start "$ONE" "$FIVE" "$TEN"
src=$(disk_of "${FIVE}_rimage_0")
midway "$src"
refuses "an array that is moved is locked" Busy replica resize "$FIVE" 16M
refuses "for good" Busy replica destroy "$FIVE"
good "it is shown" replica show "$FIVE"
that "as whole" "d['health']['state'] == 'online' and {i['state'] for i in d['health']['images']} == {'online'}"
lvm_ok "LVM finds nothing wrong midway" p
moves_take 100
runs "the tools finish our move" pvmove -q -i 1
is "nothing is on the disk" "$(field pvs pv_used "$src")" 0
stop "finished by the tools"
good "the disk leaves" pool remove-disk p "$src"
good "it joins again" pool add-disk p "$src"
start "$ONE" "$FIVE"
src=$(disk_of "${TEN}_rimage_1")
midway "$src"
good "an array is deactivated midway" replica deactivate "$TEN"
good "and activated" replica activate "$TEN"
moves_take 100
good "we go on" pool remove-disk p "$src"
free_of "the disk is blank" "$src"
stop "finished by us"
stamps_held "so is what the other had" "/dev/p/$TEN" 1024 "$W/seq-$TEN"
whole "finished by us"

# Not in sync yet: moved all the same, as the tools do.
E=$(uuid 0xe)
quiet lvcreate -q -y -Wn -Zn -n "$E" --addtag mayastor --addtag mayastor.lv.name=e --type raid1 -m 1 -L 12m --minrecoveryrate 1 --maxrecoveryrate 16 p
src=$(disk_of "${E}_rimage_0")
good "the free disk joins" pool add-disk p "$(comm -13 <(pvs --noheadings -o pv_name -S vg_name=p | tr -d ' ' | sort) <(printf '%s\n' "${D[@]:0:5}" | sort) | head -n 1)"
good "an array that is not in sync is moved" pool remove-disk p "$src"
good "it is shown" replica show "$E"
that "still not in sync" "d['health']['sync'] < 1"
runs "LVM lets it sync" lvchange -q -y --minrecoveryrate 0 --maxrecoveryrate 0 "p/$E"
in_sync p "$E"
lvm_ok "LVM finds nothing wrong at the end" p
