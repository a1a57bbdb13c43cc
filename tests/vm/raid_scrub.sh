# gate: bookworm-noudev trixie-noudev
# Arrays are scrubbed, and what happens to them is told, beside the real tools.
. /opt/vm/lib.sh
loops 5 64
D=("${LOOPS[@]}")
# The kernel notes the state of arrays when it likes: that a refusal writes nothing is tested on the host.
WATCH=""
until_is() { # NAME WANTED FIELD LV
    local wanted=$2 field=$3 lv=$4
    await 60 '[ "$(field lvs "$field" "$lv" | tr -d " ")" = "$wanted" ]' || no "$1" "$4 has $3 '$(field lvs "$3" "$4")', not '$2'"
}
place() { # IMAGE: its disk and the disk's MiB where it begins
    local disk start
    IFS=: read -r disk start <<<"$(field lvs seg_pe_ranges "p/$1" -a)"
    echo "$disk $((${start%%-*} + $(field pvs pe_start "$disk") / 1048576))"
}
damage() { # IMAGE: some KiB of it change, below the array
    local disk at
    read -r disk at <<<"$(place "$1")"
    dd if=/dev/urandom of="$disk" bs=4k seek=$((at * 256 + 300)) count=4 oflag=direct conv=notrunc status=none
}
image() { # IMAGE MIB: what it holds
    local disk at
    read -r disk at <<<"$(place "$1")"
    dd if="$disk" bs=1M skip="$at" count="$2" iflag=direct status=none | cksum
}
refuses() { # NAME KIND ARGS...: the kernel may write meanwhile
    local name=$1 kind=$2; shift 2
    pc "$@"
    is "$name" "$RC,$(q "d['error']['kind']")" "1,$kind"
}
good "a pool" pool create p "${D[@]}" --extent-size 1M

n=0
for layout in raid1:2 raid10:2 raid4:2 raid5:2 raid6:3; do
    n=$((n + 1)); U=$(uuid $((0xb0 + n)))
    good "$layout" replica create p "$U" 6M --layout "$layout"
    fill "/dev/p/$U" "s$n" 6; s=$(sum "/dev/p/$U" 6)
    until_is "$layout is in sync" 100.00 sync_percent "p/$U"
    if [ $layout = raid1:2 ]; then
        good "$layout is checked" replica scrub "$U"
        that "$layout has no mismatch" "d['mismatches'] == 0 and d['health']['action'] == 'idle' and d['uuid'] == '$U'"
    fi
    damage "${U}_rimage_1"
    good "$layout is checked when damaged" replica scrub "$U"
    that "the damage of $layout is found" "d['mismatches'] > 0 and d['health']['mismatches'] == d['mismatches']"
    is "$layout has as much by LVM" "$(field lvs raid_sync_action,raid_mismatch_count "p/$U" | tr -s ' ')" "idle $(q "d['mismatches']")"
    good "$layout is repaired" replica scrub "$U" --repair
    good "$layout is checked once more" replica scrub "$U"
    that "$layout is mended" "d['mismatches'] == 0"
    case $layout in raid1:2|raid10:2)
        is "$layout has its data" "$(sum "/dev/p/$U" 6)" "$s"
        is "the images of $layout are the same" "$(image "${U}_rimage_1" 3)" "$(image "${U}_rimage_0" 3)" ;;
    esac
    good "$layout goes" replica destroy "$U"
done

A=$(uuid 0xa) B=$(uuid 0xb) C=$(uuid 0xc) E=$(uuid 0xe)
good "a linear one" replica create p "$B" 4M
bad "it is no array" NotArray/ENOTSUP replica scrub "$B"
good "stripes" replica create p "$C" 4M --layout raid0:2
bad "they have nothing to compare" NotArray/ENOTSUP replica scrub "$C" --repair
bad "what is not there" ReplicaNotFound/ENOENT replica scrub "$(uuid 1)"
good "an array" replica create p "$A" 24M --layout raid1:2
fill "/dev/p/$A" array 24
until_is "it is in sync" 100.00 sync_percent "p/$A"
good "it is deactivated" replica deactivate "$A"
bad "it is not active" NotActive/EBUSY replica scrub "$A"
good "it is activated" replica activate "$A"

# The process dies, the kernel goes on, the next one waits for that.
soon() { sleep 1; arrays_fill fast; }
arrays_fill slow
damage "${A}_rimage_1"
poolctl replica scrub "$A" >/dev/null 2>&1 & PC=$!
until_is "it is being checked" check raid_sync_action "p/$A"
kill -9 $PC; wait $PC 2>/dev/null
is "the kernel goes on" "$(field lvs raid_sync_action "p/$A")" check
soon &
good "a second call waits for it" replica scrub "$A"
wait $!
that "and has what it found" "d['mismatches'] > 0 and d['health']['action'] == 'idle'"
arrays_fill slow
runs "LVM begins to check" lvchange -q --syncaction check "p/$A"
soon &
good "a repair waits for that" replica scrub "$A" --repair
wait $!
runs "LVM checks again" lvchange -q --syncaction check "p/$A"
until_is "LVM's check ends" idle raid_sync_action "p/$A"
is "and finds nothing" "$(field lvs raid_mismatch_count "p/$A")" 0
runs "LVM makes it slow" lvchange -q -y --minrecoveryrate 1 --maxrecoveryrate 64 "p/$A"
poolctl --json replica scrub "$A" >"$W/scrub" 2>&1 & PC=$!
until_is "it is being checked again" check raid_sync_action "p/$A"
good "a change of the array" replica resize "$A" 28M
wait $PC
that "stops the check, which is told" "d['error']['kind'] == 'ScrubFailed'" "$W/scrub"
runs "LVM makes it fast again" lvchange -q -y --minrecoveryrate 0 --maxrecoveryrate 0 "p/$A"
until_is "it is in sync at last" 100.00 sync_percent "p/$A"

# What happens to arrays is told.
watch() { # FILE ARGS...
    local file=$1; shift
    poolctl --json replica events "$@" >"$file" 2>&1 & PC=$!
    # Until it sleeps in poll.
    await 10 'grep -qE "^(7|271) " /proc/$PC/syscall 2>/dev/null' || no "watching" "$(cat "$file")"
}
runs "nothing happens until the time is over" timeout 60 poolctl --timeout 1 replica events p
arrays_fill slow
quiet lvcreate -q -y -Wn -Zn -n "$E" --addtag mayastor --addtag mayastor.lv.name=e --type raid1 -m 1 -L 16m p
refuses "what is not in sync is not scrubbed" ArrayState replica scrub "$E"
watch "$W/sync" p --once --timeout 60
arrays_fill fast
wait $PC
that "the end of a synchronisation" "d['uuid'] == '$E' and d['health']['state'] == 'online' and {i['state'] for i in d['health']['images']} == {'online'} and d['health']['sync'] == 1" "$W/sync"
watch "$W/failed" --timeout 60
quiet dmsetup suspend --noflush "p-${E//-/--}_rimage_1"
quiet dmsetup load "p-${E//-/--}_rimage_1" --table "0 32768 error"
quiet dmsetup resume "p-${E//-/--}_rimage_1"
fill "/dev/p/$E" failing 16; e=$(sum "/dev/p/$E" 16)
await 20 test -s "$W/failed"
good "the array is shown" replica show "$E"
that "without an image" "d['health']['state'] == 'degraded' and [i['state'] for i in d['health']['images']] == ['online', 'failed']"
refuses "what is degraded is not scrubbed" ArrayState replica scrub "$E"
runs "LVM brings the image back" lvchange -q -y --refresh "p/$E"
until_is "it is in sync again" 100.00 sync_percent "p/$E"
good "it is checked" replica scrub "$E"
that "and is whole" "d['mismatches'] == 0 and d['health']['state'] == 'online'"
is "with its data" "$(sum "/dev/p/$E" 16)" "$e"
kill $PC; wait $PC 2>/dev/null
python3 - "$W/failed" >"$W/told" <<'PY'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
print(json.dumps([[line["uuid"], line["health"]["state"], [image["state"] for image in line["health"]["images"]]] for line in lines]))
PY
that "the failure of an image" "d[0] == ['$E', 'degraded', ['online', 'failed']]" "$W/told"
that "and its return" "d[-1] == ['$E', 'online', ['online', 'online']]" "$W/told"
lvm_ok "LVM finds nothing wrong" p
