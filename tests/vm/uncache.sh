# gate: bookworm-noudev trixie-udev
# LVs that the tools gave a cache lose it under I/O, written back, and become replicas: all forms, killed on the way, inactive.
. /opt/vm/lib.sh
loops 4 120
WATCH=""
P=("${LOOPS[@]}")
N=$(uuid 0xee)
LAZY=(--cachemode writeback --cachepolicy smq)
free_extents() { field vgs vg_free_count v; }
dirty() { dmsetup status "$1" | awk '$3 == "writecache" { print $5 - $6 } $3 == "cache" { print $14 }'; }
lvs_of() { lvs -a --noheadings -o lv_name v 2>/dev/null | tr -d ' []' | sort | xargs; }

quiet vgcreate -q -s 1m v "${P[@]}"
quiet lvcreate -q -y -Wn -n pvc-lin -L 24m v "${P[0]}"
quiet lvcreate -q -y -Wn -n pvc-raid --type raid1 -m1 -L 16m v "${P[0]}" "${P[1]}"
quiet lvcreate -q -y -Wn -n pvc-str -i2 -L 16m v "${P[0]}" "${P[1]}"
settle
in_sync v pvc-raid
bare=$(free_extents)
pool_on() { # LV ARGS...: a cache pool
    local lv=$1; shift
    quiet lvcreate -q -y --type cache-pool -n "fast-${lv#pvc-}" -L 16m v "${P[2]}"
    quiet lvconvert -q -y --type cache --cachepool "fast-${lv#pvc-}" "$@" "v/$lv"
}
volume_on() { # LV ARGS...: one LV that is all of the cache
    local lv=$1; shift
    quiet lvcreate -q -y -Wn -n "fast-${lv#pvc-}" -L 24m v "${P[3]}"
    quiet lvconvert -q -y --type cache --cachevol "fast-${lv#pvc-}" "$@" "v/$lv"
}
writes_on() { # LV: a cache of writes, which begins to write back when it is full
    local lv=$1
    quiet lvcreate -q -y -Wn -n "fast-${lv#pvc-}" -L 24m v "${P[3]}"
    quiet lvchange -q -an "v/fast-${lv#pvc-}"
    quiet lvconvert -q -y --type writecache --cachevol "fast-${lv#pvc-}" --cachesettings "high_watermark=100 low_watermark=99" "v/$lv"
}
arrays_on() { # LV ARGS...: a cache pool whose parts are arrays
    local lv=$1 fast=fast-${1#pvc-}; shift
    quiet lvcreate -q -y -Wn -n "$fast" --type raid1 -m1 -L 12m v "${P[2]}" "${P[3]}"
    quiet lvcreate -q -y -Wn -n "$fast-meta" --type raid1 -m1 -L 8m v "${P[2]}" "${P[3]}"
    in_sync v "$fast"
    in_sync v "$fast-meta"
    quiet lvconvert -q -y --type cache-pool --poolmetadata "v/$fast-meta" "v/$fast"
    quiet lvconvert -q -y --type cache --cachepool "$fast" "$@" "v/$lv"
}
array_on() { # LV ARGS...: one LV, an array, that is all of the cache
    local lv=$1 fast=fast-${1#pvc-}; shift
    quiet lvcreate -q -y -Wn -n "$fast" --type raid1 -m1 -L 24m v "${P[2]}" "${P[3]}"
    in_sync v "$fast"
    quiet lvconvert -q -y --type cache --cachevol "$fast" "$@" "v/$lv"
}
pool_on pvc-lin "${LAZY[@]}"
volume_on pvc-raid "${LAZY[@]}"
volume_on pvc-str --cachemode writethrough
settle

# Data that stays, behind a ring of blocks for the writer.
wet() { # LV SEED
    # The kernel moves nothing by itself, so that what is written is dirty when the cache is to go.
    case $(field lvs segtype "v/$1") in cache) quiet dmsetup message "v-${1//-/--}" 0 migration_threshold 0 ;; esac
    fill "/dev/v/$1" "$2" 8
    quiet dd if=/dev/zero of="/dev/v/$1" bs=1M count=2 oflag=direct conv=notrunc,fsync
    rm -f "$W/seq-$1"
}
tail_of() { # NAME
    dd if="/dev/v/$1" bs=1M skip=2 count=6 iflag=direct 2>/dev/null | sha256sum
}

# What is refused changes nothing.
bad "without the word it is refused" Unsupported/ENOTSUP adopt apply v/pvc-lin --uuid "$N"
runs "the word is named" grep -q -- --uncache "$E" "$O"
bad "a part of a cache is refused" Unsupported/ENOTSUP adopt apply v/pvc-lin_corig --uuid "$N" --uncache
bad "the cache itself is refused" Unsupported/ENOTSUP adopt apply v/fast-lin_cpool --uuid "$N" --uncache
seqno=$(field vgs vg_seqno v)
good "a plan without the word" adopt plan v/pvc-lin --uuid "$N"
that "tells the word" "'--uncache' in d['refusal'] and d['steps'] == []"
good "a plan" adopt plan v/pvc-raid --uuid "$N" --uncache
that "begins with the cache" "d['refusal'] is None and d['layout'].startswith('cache') and d['active'] and d['steps'][:3] == ['write back and take off the cache fast-raid_cvol', 'mark the volume group v as a pool', 'rename the logical volume pvc-raid to $N']"
that "goes on with the images" "any(step.startswith('rename the device v-pvc--raid_corig_rimage_0 to ') for step in d['steps'])"
is "plans change nothing" "$(field vgs vg_seqno v)" "$seqno"

# Under I/O, with what the cache alone holds.
adopted() { # LV UUID BLOCKS: with a writer on it
    local lv=$1 u=$2 id number
    id=$(field lvs lv_uuid "v/$lv") number=$(stat -Lc %t:%T "/dev/v/$lv")
    stamps "/dev/v/$lv" "$3" "$W/seq-$lv"
    note "$lv: $(dirty "v-${lv//-/--}") blocks are dirty"
    good "$lv is adopted" adopt apply "v/$lv" --uuid "$u" --uncache
    that "$lv is a replica" "d['uuid'] == '$u' and d['name'] == '$lv' and d['active']"
    is "$lv is the same LV and device" "$(field lvs lv_uuid "v/$u") $(stat -Lc %t:%T "/dev/v/$u")" "$id $number"
    stamps_end "$lv"
    stamps_held "$lv: each write is there" "/dev/v/$u" "$3" "$W/seq-$lv"
}
for lv in pvc-lin pvc-raid pvc-str; do wet $lv $lv; done
runs "something is dirty" test "$(dirty v-pvc--lin)" -gt 0
held=$(tail_of pvc-lin)$(tail_of pvc-raid)$(tail_of pvc-str)
A=$(uuid 0xa) B=$(uuid 0xb) C=$(uuid 0xc)
adopted pvc-lin "$A" 512
adopted pvc-raid "$B" 512
adopted pvc-str "$C" 512
is "what the writers did not touch is there" "$(tail_of "$A")$(tail_of "$B")$(tail_of "$C")" "$held"
is "the caches' extents are free" "$(free_extents)" "$bare"
is "nothing of the caches is left" "$(lvs_of | grep -cE 'fast|corig|pmspare')$(dmsetup ls | grep -cE 'fast|corig')" 00
is "the images have its name" "$(dmsetup ls | grep -c "^v-${B//-/--}_r")" 4
lvm_ok "LVM finds the VG sound" v
back() { # LV UUID: as it was, for what follows
    quiet lvrename -q v "$2" "$1"
    quiet lvchange -q --deltag mayastor --deltag "mayastor.lv.name=$1" "v/$1"
}
again() { good "$1: again is success" adopt apply "v/$1" --uuid "$2" --uncache; }
again pvc-lin "$A"; again pvc-raid "$B"


# As they were, and caches of other forms: of writes alone, and of arrays.
back pvc-lin "$A"; back pvc-raid "$B"; back pvc-str "$C"
writes_on pvc-lin; writes_on pvc-raid; arrays_on pvc-str "${LAZY[@]}"
for lv in pvc-lin pvc-raid pvc-str; do wet $lv $lv-2; done
runs "a cache of writes holds something" test "$(dirty v-pvc--lin)" -gt 256
held=$(tail_of pvc-lin)$(tail_of pvc-raid)$(tail_of pvc-str)
bad "a cache of writes is told" Unsupported/ENOTSUP adopt apply v/pvc-lin --uuid "$N"
runs "by its type" grep -q "writecache (--uncache" "$E" "$O"
good "a plan" adopt plan v/pvc-lin --uuid "$N" --uncache
that "begins with the cache of writes" "d['refusal'] is None and d['layout'] == 'writecache' and d['steps'][0] == 'write back and take off the cache fast-lin_cvol'"
adopted pvc-lin "$A" 512
adopted pvc-raid "$B" 512
adopted pvc-str "$C" 512
is "what the writers did not touch is there, too" "$(tail_of "$A")$(tail_of "$B")$(tail_of "$C")" "$held"
is "no extent of these caches is left" "$(free_extents) $(lvs_of | grep -cE 'fast|corig|pmspare')$(dmsetup ls | grep -cE 'fast|corig')" "$bare 00"
lvm_ok "LVM finds the VG sound without them" v
back pvc-lin "$A"; back pvc-raid "$B"; back pvc-str "$C"
said() { lvs -a --noheadings --nosuffix --units s -o lv_name,lv_uuid,lv_size,segtype,devices,stripes,region_size,lv_role v 2>/dev/null | sort; }
said >"$W/ours"
pool_on pvc-lin "${LAZY[@]}"; volume_on pvc-raid "${LAZY[@]}"
# In this order: the tools keep the metadata spare while an LV is a cache, even though that needs none.
runs "the tools take a cache off" lvconvert -q -y --uncache v/pvc-raid
runs "and the other" lvconvert -q -y --uncache v/pvc-lin
said >"$W/theirs"
is "what is left is what the tools leave" "$(diff "$W/ours" "$W/theirs")" ""

# Inactive ones stay so, in all forms.
inactive() { # LV UUID MAKE ARGS...
    local lv=$1 u=$2 how=$3 held; shift 3
    "$how" "$lv" "$@"
    wet "$lv" "$lv-$how"
    held=$(sum "/dev/v/$lv" 8)
    note "$lv: $(dirty "v-${lv//-/--}") blocks are dirty"
    quiet lvchange -q -an "v/$lv"
    settle
    good "$lv, $how: an inactive plan" adopt plan "v/$lv" --uuid "$u" --uncache
    that "$lv, $how: is of a cached LV that is not active" "d['refusal'] is None and not d['active'] and d['steps'][0].startswith('write back and take off the cache fast-${lv#pvc-}_c')"
    good "$lv, $how: inactive" adopt apply "v/$lv" --uuid "$u" --uncache
    that "$lv, $how: it stays so" "not d['active']"
    is "$lv, $how: without a device" "$(dmsetup ls | grep -cE "fast|corig|uncache|${lv//-/--}|${u//-/--}")" 0
    is "$lv, $how: the cache's extents are free" "$(free_extents)" "$bare"
    lvm_ok "$lv, $how: LVM finds the VG sound" v
    good "$lv, $how: it is activated" replica activate "$u"
    case $lv in pvc-raid) in_sync v "$u" ;; esac
    is "$lv, $how: it has its data" "$(sum "/dev/v/$u" 8)" "$held"
    back "$lv" "$u"
}
some 2 "pvc-lin $A pool_on ${LAZY[*]}" "pvc-raid $B volume_on ${LAZY[*]}" "pvc-raid $B writes_on" \
    "pvc-lin $A arrays_on ${LAZY[*]}" "pvc-str $C array_on ${LAZY[*]}"
for form in "${SOME[@]}"; do inactive $form; done

# Cut while it is active for that alone: the next call, and opening the pool, leave it inactive.
quiet vgchange -q --addtag mayastor v
left=0
some 2 ioctl:30 ioctl:60 ioctl:90 ioctl:110
for number in "${SOME[@]}"; do
    pool_on pvc-lin "${LAZY[@]}"
    wet pvc-lin "$number"
    held=$(sum /dev/v/pvc-lin 8)
    quiet lvchange -q -an v/pvc-lin
    settle
    ask cut "${number%:*}" "${number#*:}" adopt apply v/pvc-lin --uuid "$A" --uncache
    note "inactive, $number: $REPLY, $(dmsetup ls | grep -cE 'fast|corig|pvc--lin') devices, $(dmsetup ls | grep -c uncache) that tells"
    [ "$(dmsetup ls | grep -c uncache)" = 0 ] || left=$((left + 1))
    good "inactive, killed at $number: the pool is opened" pool import v "${LOOPS[@]}"
    is "inactive, killed at $number: no device is left" "$(dmsetup ls | grep -cE "fast|corig|uncache|pvc--lin|${A//-/--}")" 0
    good "inactive, killed at $number: adopted" adopt apply v/pvc-lin --uuid "$A" --uncache
    that "inactive, killed at $number: it stays so" "not d['active']"
    quiet lvchange -q -ay "v/$A"
    is "inactive, killed at $number: it has its data" "$(sum "/dev/v/$A" 8) $(free_extents)" "$held $bare"
    back pvc-lin "$A"
done
[ "$MOMENTS" != all ] || runs "some of these were cut while it was active" test "$left" -gt 0

# Killed on the way: the repeated call does the rest, and no write is lost.
cuts=0 early=0 late=0
run_cuts() { # LV UUID MAKE CALL:NUMBER...
    local lv=$1 u=$2 how=$3 number; shift 3
    for number in "$@"; do
        "$how" "$lv" "${LAZY[@]}"
        wet "$lv" "cut$number"
        held=$(tail_of "$lv")
        stamps "/dev/v/$lv" 512 "$W/seq-$lv"
        ask cut "${number%:*}" "${number#*:}" adopt apply "v/$lv" --uuid "$u" --uncache
        left=$(field lvs segtype "v/$lv")
        note "$lv, $number: $REPLY, left ${left:-named as the replica}"
        case $left in cache | writecache) early=$((early + 1)) ;; *) late=$((late + 1)) ;; esac
        [ "$REPLY" = killed ] && cuts=$((cuts + 1))
        settle
        good "$lv killed at $number: adopted" adopt apply "v/$lv" --uuid "$u" --uncache
        is "$lv killed at $number: nothing is left" "$(dmsetup ls | grep -cE 'fast|corig') $(free_extents)" "0 $bare"
        stamps_end "$lv killed at $number"
        stamps_held "$lv killed at $number: each write is there" "/dev/v/$u" 512 "$W/seq-$lv"
        is "$lv killed at $number: so is what was dirty" "$(tail_of "$u")" "$held"
        back "$lv" "$u"
    done
}
# The commit is the third write to each of four disks: the tenth is where it begins to be seen, the thirteenth is the adoption's first.
some 1 ioctl:34 pwrite64:10 pwrite64:12 pwrite64:22; run_cuts pvc-lin "$A" pool_on "${SOME[@]}"
some 1 ioctl:64 pwrite64:9 pwrite64:13; run_cuts pvc-raid "$B" volume_on "${SOME[@]}"
some 1 ioctl:34 pwrite64:10 pwrite64:12; run_cuts pvc-lin "$A" writes_on "${SOME[@]}"
some 1 ioctl:64 pwrite64:9 pwrite64:13; run_cuts pvc-raid "$B" writes_on "${SOME[@]}"
note "$early were before the commit, $late after it"
runs "it was killed" test $cuts -gt 0
[ "$MOMENTS" != all ] || runs "often, before the commit and after it" test $((cuts > 4 && early > 1 && late > 1)) = 1
note "killed $cuts times"
lvm_ok "LVM finds the VG sound at last" v
good "a pool is made of it" adopt apply v/pvc-lin --uuid "$A" --uncache

# A thin LV whose pool has a cache: told what takes it off.
quiet lvcreate -q -y --type thin-pool -n tp -L 16m --poolmetadataspare n v "${P[0]}"
quiet lvcreate -q -y -V 16m --thinpool tp -n pvc-thin v
quiet lvcreate -q -y --type cache-pool -n fast-tp -L 16m --poolmetadataspare n v "${P[2]}"
quiet lvconvert -q -y --type cache --cachepool fast-tp "${LAZY[@]}" v/tp
fill /dev/v/pvc-thin thin 4
held=$(sum /dev/v/pvc-thin 4)
bad "a thin LV over a cache is refused" Unsupported/ENOTSUP adopt apply v/pvc-thin --uuid "$C" --uncache
runs "with the command that helps" grep -q -- "lvconvert --uncache v/tp" "$E" "$O"
quiet lvconvert -q -y --uncache v/tp
good "after it the LV is adopted" adopt apply v/pvc-thin --uuid "$C" --uncache
is "the thin LV has its data" "$(sum "/dev/v/$C" 4)" "$held"

# A lost disk of the cache: nothing is given up.
quiet lvcreate -q -y --type cache-pool -n fast-raid -L 16m v "${P[2]}"
quiet lvconvert -q -y --type cache --cachepool fast-raid "${LAZY[@]}" v/pvc-raid
quiet lvchange -q -an v/pvc-raid
losetup -d "${P[2]}"; settle
pc adopt apply v/pvc-raid --uuid "$B" --uncache
is "without the cache's disk it is refused" "$RC $(q "d['error']['kind']")" "1 MissingPv"
