# gate: bookworm-noudev
# LVs that the tools gave a cache lose it under I/O, written back, and become replicas: both forms, killed on the way, inactive.
. /opt/vm/lib.sh
loops 4 120
WATCH=""
P=("${LOOPS[@]}")
N=$(uuid 0xee)
LAZY=(--cachemode writeback --cachepolicy smq)
free_extents() { field vgs vg_free_count v; }
dirty() { dmsetup status "$1" | awk '{ print $14 }'; }
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
pool_on pvc-lin "${LAZY[@]}"
volume_on pvc-raid "${LAZY[@]}"
volume_on pvc-str --cachemode writethrough
settle

# Data that stays, behind a ring of blocks for the writer.
wet() { # LV SEED
    # The kernel moves nothing by itself, so that what is written is dirty when the cache is to go.
    dmsetup message "v-${1//-/--}" 0 migration_threshold 0
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
again() { good "$1: again is success" adopt apply "v/$1" --uuid "$2" --uncache; }
again pvc-lin "$A"; again pvc-raid "$B"

# As they were, for what follows.
back() { # LV UUID
    quiet lvrename -q v "$2" "$1"
    quiet lvchange -q --deltag mayastor --deltag "mayastor.lv.name=$1" "v/$1"
}
back pvc-lin "$A"; back pvc-raid "$B"
said() { lvs -a --noheadings --nosuffix --units s -o lv_name,lv_uuid,lv_size,segtype,devices,stripes,region_size,lv_role v 2>/dev/null | sort; }
said >"$W/ours"
pool_on pvc-lin "${LAZY[@]}"; volume_on pvc-raid "${LAZY[@]}"
# In this order: the tools keep the metadata spare while an LV is a cache, even though that needs none.
runs "the tools take a cache off" lvconvert -q -y --uncache v/pvc-raid
runs "and the other" lvconvert -q -y --uncache v/pvc-lin
said >"$W/theirs"
is "what is left is what the tools leave" "$(diff "$W/ours" "$W/theirs")" ""

# Inactive ones stay so, in all forms.
pool_on pvc-lin "${LAZY[@]}"; volume_on pvc-raid "${LAZY[@]}"
wet pvc-lin lin2; wet pvc-raid raid2
lin=$(sum /dev/v/pvc-lin 8) raid=$(sum /dev/v/pvc-raid 8)
note "$(dirty v-pvc--lin) and $(dirty v-pvc--raid) blocks are dirty"
quiet lvchange -q -an v/pvc-lin v/pvc-raid
settle
good "an inactive plan" adopt plan v/pvc-lin --uuid "$A" --uncache
that "is of a cached LV that is not active" "d['refusal'] is None and not d['active'] and d['steps'][0] == 'write back and take off the cache fast-lin_cpool'"
good "inactive, of a pool" adopt apply v/pvc-lin --uuid "$A" --uncache
that "it stays so" "not d['active']"
good "inactive, of one LV" adopt apply v/pvc-raid --uuid "$B" --uncache
that "it stays so" "not d['active']"
is "without a device" "$(dmsetup ls | grep -cE "fast|corig|pvc|${A//-/--}|${B//-/--}")" 0
is "the caches' extents are free again" "$(free_extents)" "$bare"
lvm_ok "LVM finds the VG sound again" v
good "one is activated" replica activate "$A"; good "the other, too" replica activate "$B"
in_sync v "$B"
is "they have their data" "$(sum "/dev/v/$A" 8) $(sum "/dev/v/$B" 8)" "$lin $raid"
back pvc-lin "$A"; back pvc-raid "$B"

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
        case $left in cache) early=$((early + 1)) ;; *) late=$((late + 1)) ;; esac
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
run_cuts pvc-lin "$A" pool_on ioctl:34 pwrite64:10 pwrite64:12 pwrite64:22
run_cuts pvc-raid "$B" volume_on ioctl:64 pwrite64:9 pwrite64:13
note "$early were before the commit, $late after it"
runs "it was killed often, before the commit and after it" test $((cuts > 4 && early > 1 && late > 1)) = 1
note "killed $cuts times"
lvm_ok "LVM finds the VG sound at last" v
good "a pool is made of it" adopt apply v/pvc-lin --uuid "$A" --uncache

# A lost disk of the cache: nothing is given up.
quiet lvcreate -q -y --type cache-pool -n fast-raid -L 16m v "${P[2]}"
quiet lvconvert -q -y --type cache --cachepool fast-raid "${LAZY[@]}" v/pvc-raid
quiet lvchange -q -an v/pvc-raid
losetup -d "${P[2]}"; settle
pc adopt apply v/pvc-raid --uuid "$B" --uncache
is "without the cache's disk it is refused" "$RC $(q "d['error']['kind']")" "1 MissingPv"
