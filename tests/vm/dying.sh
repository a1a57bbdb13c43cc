# gate: bookworm-noudev
# A disk dies for good while the pool's data is moved: there is a way out for us and for the tools, and what was whole stays.
. /opt/vm/lib.sh
frail 5 80
# What fails are the disks under these.
WATCH=""
A=$(uuid 1) B=$(uuid 2) C=$(uuid 3)
disk_of() { field lvs devices -a "p/$1" | sed 's/(.*//; s/.*disk//'; }
id_of() { field pvs pv_uuid "/dev/mapper/disk$1"; }
# A move of DISK under way, with its process; the kernel copies slowly.  What dies is known before.
midway() {
    moves_take 1
    poolctl --json pool remove-disk p "/dev/mapper/disk$1" >"$OUT/dying.json" 2>&1 & PC=$!
    for _ in {1..500}; do dmsetup table p-pvmove0 2>/dev/null | grep -q ' mirror ' && break; done
}
under_way() { is "a move is under way" "$(dmsetup table p-pvmove0 | grep -c ' mirror ')" 1; }
number() { dmsetup info -c --noheadings --separator : -o major,minor "disk$1"; }
ended() { # NAME: the call ends by itself, with an error
    local rc
    moves_take 100
    wait $PC; rc=$?
    is "$1: the call ends" "$rc" 1
    that "$1: with an error in words" "len(d['error']['message']) > 20" "$OUT/dying.json"
    note "$1: $(q "d['error']['kind'] + ': ' + d['error']['message']" "$OUT/dying.json")"
}
held() { # NAME: the array has its data, and no image of it has other data
    local image told
    is "$1" "$(sum "/dev/p/$B" 8)" "$b"
    for image in 0 1; do
        told=$(sum "/dev/mapper/$(dmname p "$B")_rimage_$image" 8)
        case $told in "$b" | OSError*) ;; *) no "$1: image $image" "$told" ;; esac
    done
}

good "a pool" pool create p "${D[0]}" --extent-size 1M
good "a replica" replica create p "$A" 40M
good "a second disk" pool add-disk p "${D[1]}"
good "a copy on it" replica create p "$B" 8M --layout raid1:2
good "a third disk" pool add-disk p "${D[2]}"
in_sync p "$B"
fill "/dev/p/$B" second 8; b=$(sum "/dev/p/$B" 8)

# The disk that data goes to dies: nothing is lost.
from=$(disk_of "$A")
ids=() numbers=()
for i in 0 1 2; do ids+=("$(id_of $i)"); numbers+=("$(number $i)"); done
stamps "/dev/p/$A" 1024 "$W/seq"
midway "$from"
to=$(dmsetup table p-pvmove0 | awk '/ mirror / { for (i = 1; i <= NF; i++) if ($i ~ /^[0-9]+:[0-9]+$/) last = $i; print last; exit }')
for i in 0 1 2; do [ "${numbers[i]}" = "$to" ] && target=$i; done
break_disk "$target"
under_way
id=${ids[target]}
ended "the new disk dies"
bad "nothing new is made" MissingPv/EBUSY replica create p "$C" 4M
that "and the way out is named" "'remove-disk' in d['error']['message']"
good "the dead disk leaves" pool remove-disk p "$id"
stamps_end "the dead disk"
stamps_held "no write is lost, and none waits for ever" "/dev/p/$A" 1024 "$W/seq"
held "and so is the copy"
is "no move is left" "$(lvs -a p 2>/dev/null | grep pvmove)$(dmsetup ls | grep pvmove)" ""
lvm_ok "LVM finds nothing wrong" p
mend_disk "$target"
good "a disk" pool add-disk p "${D[3]}"

# The disk that data leaves dies: what it alone held is lost, and named.
from=$(disk_of "$A")
id=$(id_of "$from")
midway "$from"
break_disk "$from"
under_way
ended "the old disk dies"
runs "the tools read the VG" vgs p
pc pool remove-disk p "$id"
is "what it held alone is named" "$RC,$(q "d['error']['kind']")" "1,DiskNotEmpty"
that "with what helps" "'$A' in d['error']['message'] and 'destroy' in d['error']['message'] and '$B' not in d['error']['message']"
held "the copy serves"
good "it is destroyed" replica destroy "$A"
is "no move is left then" "$(lvs -a p 2>/dev/null | grep pvmove)" ""
runs "the tools take the dead disk out, too" vgreduce -q -y --removemissing --force p
good "and the pool goes on" replica create p "$C" 4M
held "with the copy"
good "what the returned disk has of old metadata goes" pool repair p
lvm_ok "LVM finds nothing wrong in the end" p
