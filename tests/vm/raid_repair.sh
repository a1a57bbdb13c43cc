# gate: bookworm-noudev trixie-noudev
# Images of arrays come, go, fail and are replaced under I/O, by us and by the tools.
. /opt/vm/lib.sh
frail 7 100
# The kernel notes the state of arrays when it likes: that a refusal writes nothing is tested on the host.
WATCH=""
id_of() { field pvs pv_uuid "/dev/mapper/disk$1"; }
# The copies of an array are the same on the disks.
copies() { # NAME UUID COUNT
    local image sums=""
    for ((image = 0; image < $3; image++)); do sums+=$(sum "/dev/mapper/$(dmname p "$2")_rimage_$image" 24)$'\n'; done
    is "$1" "$(sort -u <<<"${sums%$'\n'}" | wc -l)" 1
}
A=$(uuid 0xa) B=$(uuid 0xb) C=$(uuid 0xc)
write() { stamps "/dev/p/$1" 2048 "$W/seq-$1"; }
stop() { # NAME UUID...
    local name=$1 writer; shift
    stamps_end "$name"
    for writer in "$@"; do stamps_held "$name: each of its writes is there" "/dev/p/$writer" 2048 "$W/seq-$writer"; done
}
images() { dmsetup ls | grep -c "_r[im]"; }

good "a pool" pool create p "${D[@]:0:4}" --extent-size 1M
good "a linear replica" replica create p "$A" 24M
write "$A"
for layout in raid1:2 raid1:3; do
    good "it becomes $layout" replica convert "$A" --layout $layout
    that "as shown" "d['layout'] == '$layout' and d['size'] == 24 << 20"
    lvm_ok "LVM finds $layout sound" p
    in_sync p "$A"
    good "it stays $layout" replica convert "$A" --layout $layout
    that "in sync" "d['health']['sync'] == 1 and d['health']['state'] == 'online'"
    is "and to LVM" "$(field lvs sync_percent,lv_health_status "p/$A" | tr -d ' ')" 100.00
done
bad "not another level" Unsupported/ENOTSUP replica convert "$A" --layout raid5:2
bad "not more images than disks" NoSpace/ENOSPC replica convert "$A" --layout raid1:8
bad "nothing is to be repaired" NothingToRepair/EINVAL replica repair "$A"
stop "three copies" "$A"
copies "the copies are the same" "$A" 3
write "$A"
good "one goes" replica convert "$A" --layout raid1:2
is "with its devices" "$(images)" 4
lvm_ok "LVM finds what is left sound" p
good "the other goes" replica convert "$A" --layout linear
is "with its devices" "$(images)" 0
lvm_ok "LVM finds it sound" p
stop "no copies" "$A"
runs "LVM makes copies" lvconvert -q -y -m1 "p/$A"
in_sync p "$A"
good "we add one" replica convert "$A" --layout raid1:3
in_sync p "$A"
runs "LVM takes one" lvconvert -q -y -m1 "p/$A"
good "we see two" replica show "$A"
that "in the layout" "d['layout'] == 'raid1:2'"
runs "LVM takes the copies" lvconvert -q -y -m0 "p/$A"
good "we see none" replica show "$A"
that "in the layout" "d['layout'] == 'linear'"
stamps_held "each write is there" "/dev/p/$A" 2048 "$W/seq-$A"

# Killed at each call of a kind: opening the pool mends the rest.
calls="pwrite64 ioctl"; [ "$UDEV" = noudev ] || calls=ioctl
write "$A"
for call in $calls; do
    sweep 18
    for ((number = FIRST; ; number += STRIDE)); do
        through=0
        for layout in raid1:2 linear; do
            ask cut "$call" $number replica convert "$A" --layout $layout
            [ "$REPLY" = killed ] || through=$((through + 1))
            pc replica convert "$A" --layout $layout
            [ "$RC" = 0 ] || no "$layout killed at $call $number goes on" "$(said)"
            leaks || no "$layout killed at $call $number leaves nothing" "$REPLY"
            [ $layout = linear ] || in_sync p "$A"
        done
        [ $through -lt 2 ] || break
    done
done
swept "it was killed at many moments" 60
stop "killed" "$A"
lvm_ok "LVM finds nothing of that" p

# A disk fails under I/O.
good "two copies" replica convert "$A" --layout raid1:2
good "parity" replica create p "$B" 24M --layout raid5:2
good "stripes of copies" replica create p "$C" 24M --layout raid10:2
good "more disks join" pool add-disk p "${D[@]:4}"
for u in "$A" "$B" "$C"; do in_sync p "$u"; write "$u"; done
gone=$(field lvs devices -a "p/${A}_rimage_0" | sed 's/(.*//; s/.*disk//')
id=$(id_of "$gone")
break_disk "$gone"
degraded p "$A"
good "the pool" pool show p
that "is degraded, and says by what" "d['state'] == 'degraded' and any('$A is degraded' in r for r in d['reasons'])"
repaired=0
bad "nothing new is made" MissingPv/EBUSY replica create p "$(uuid 1)" 4M
fails "by LVM neither" lvcreate -q -y -n x -l 1 p
for u in "$A" "$B" "$C"; do
    pc replica show "$u"
    [ "$(q "d['health']['state']")" = degraded ] || continue
    good "$u is repaired" replica repair "$u"
    repaired=$((repaired + 1))
    in_sync p "$u"
    good "$u is whole" replica show "$u"
    that "in each image" "d['health']['state'] == 'online' and {i['state'] for i in d['health']['images']} == {'online'}"
    is "and to LVM" "$(field lvs lv_health_status "p/$u")" ""
done
is "two or more of them" "$((repaired > 1))" 1
stop "repaired" "$A" "$B" "$C"
copies "the copies are the same again" "$A" 2
runs "LVM has nothing to repair" lvconvert -q -y --repair "p/$A"
good "the disk leaves by its id" pool remove-disk p "$id"
that "the pool is whole" "d['state'] == 'online' and len(d['disks']) == 6"
lvm_ok "LVM finds nothing wrong then" p
mend_disk "$gone"
good "the disk that is back is none of the pool's" pool repair p
good "and joins as any other" pool add-disk p "${D[gone]}"
lvm_ok "LVM finds nothing wrong with that" p

# It fails for a moment.
for u in "$A" "$B"; do write "$u"; done
gone=$(field lvs devices -a "p/${B}_rimage_1" | sed 's/(.*//; s/.*disk//')
break_disk "$gone"
degraded p "$B"
mend_disk "$gone"
good "the kernel uses it no more" replica show "$B"
that "as is shown" "d['health']['state'] == 'degraded' and [i['state'] for i in d['health']['images']].count('failed') == 1"
good "it is taken back in" replica repair "$B"
in_sync p "$B"
is "it lies where it did" "$(field lvs devices -a "p/${B}_rimage_1" | sed 's/(.*//; s/.*disk//')" "$gone"
pc replica repair "$A"
in_sync p "$A"
stop "taken back in" "$A" "$B"
lvm_ok "LVM finds that sound" p

# One is replaced that is lost, killed on the way.
good "one is left out" pool remove-disk p "${D[6]}"
for u in "$A" "$B" "$C"; do write "$u"; done
gone=$(field lvs devices -a "p/${A}_rimage_1" | sed 's/(.*//; s/.*disk//')
id=$(id_of "$gone")
break_disk "$gone"
degraded p "$A"
# Each call goes on where the one before was killed, so that the number of calls left is never known.
sweep 50
for ((number = 20 + FIRST; number < 200; number += 50)); do
    ask cut ioctl $number pool replace-disk p "$id" "${D[6]}"
    [ "$REPLY" = killed ] || break
done
if [ "$REPLY" = killed ]; then good "it is gone on with" pool replace-disk p "$id" "${D[6]}"; fi
ask swept
for u in "$A" "$B" "$C"; do in_sync p "$u"; done
stop "replaced" "$A" "$B" "$C"
good "the pool" pool show p
that "is whole" "d['state'] == 'online' and len(d['disks']) == 6 and '/dev/mapper/disk6' in d['disks']"
copies "the copies are the same once more" "$A" 2
lvm_ok "LVM finds nothing wrong at last" p
parity() { # UUID LEVEL: the stripes are right on the disks
    local parts=("/dev/mapper/$(dmname p "$1")_rimage_"?)
    runs "each stripe of $2 is right on the disks" python3 /opt/vm/parity.py "$2" 65536 "$(blockdev --getsize64 "${parts[0]}")" "${parts[@]}"
}
parity "$B" raid5
parity "$C" raid10
for u in "$B" "$C"; do
    runs "LVM scrubs $u" lvchange -q --syncaction check "p/$u"
    in_sync p "$u"
    is "and finds no mismatch" "$(field lvs raid_mismatch_count "p/$u")" 0
done

# What one disk had alone is lost with it.
good "a linear one" replica create p "$(uuid 1)" 8M
gone=$(field lvs devices "p/$(uuid 1)" | sed 's/(.*//; s/.*disk//')
id=$(id_of "$gone")
break_disk "$gone"
bad "its disk cannot be replaced" DiskNotEmpty/EBUSY pool replace-disk p "$id" /dev/vdb
that "and why" "'$(uuid 1)' in d['error']['message']"
good "what is lost is destroyed" replica destroy "$(uuid 1)"
good "and the disk replaced" pool replace-disk p "$id" "${LOOPS[gone]}" --force
that "the pool is whole" "d['state'] == 'online'"
lvm_ok "LVM finds nothing wrong in the end" p
for u in "$A" "$B" "$C"; do stamps_held "$u: each write is there" "/dev/p/$u" 2048 "$W/seq-$u"; done
