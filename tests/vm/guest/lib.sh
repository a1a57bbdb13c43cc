# The words of the scenarios (bash).  Each begins with: . /opt/vm/lib.sh
#
# Driving poolctl; its JSON is in $O and what it said on stderr in $E:
#   good NAME ARGS...            `poolctl --json ARGS` succeeds
#   bad NAME KIND/ERRNO ARGS...  it fails with exactly this error, as one line of JSON, and writes nothing to any disk
#   usage NAME ARGS...           it is wrong usage (exit 2), and nothing is written
# After each of these no device is suspended and no cookie, node or link is left over.
#
# Checking; a NAME says what is protected:
#   is NAME GOT WANT             equal
#   that NAME EXPR [FILE]        the Python expression is true; `d` is the JSON in FILE, by default poolctl's
#   runs NAME CMD...             the command succeeds
#   fails NAME CMD...            the command fails
#   lvm_ok NAME VG               vgck, pvck and lvs find nothing wrong
#   stamps_held NAME DEV BLOCKS FILE     what stamp.py's writer had acknowledged is there, and nothing else
#   stamps_cut NAME DEV BLOCKS LOW HIGH  what is there is of one moment between these writes
#   same_face NAME F1 F2         two faces are equal, and of active LVs
#
# Killing an operation at one moment after the other:
#   sweep EACH                   for `for ((n = FIRST; ; n += STRIDE))`: in the gate one moment of EACH, from the first or another as the
#                                seed draws; all of them in a full run
#   some COUNT WORD...           into SOME: COUNT of the words in the gate, as the seed draws; all of them in a full run
#   ask cut CALL N ARGS...       kills poolctl at its Nth CALL: $REPLY is `killed`, or it came to its end
#   swept NAME LEAST             since the last of these, sweeps that came to their ends had LEAST moments or more, and it was killed at some
#
# Asking:
#   q EXPR [FILE]                prints the value of a Python expression
#   rep CMD ARGS...              an LVM report in bytes, into $R (then `q EXPR $R`; `d` is the list of its rows)
#   field CMD FIELD ARGS...      the first row's field of an LVM report
#   face VG LV                   what the kernel and /dev hold of an LV
#   fill DEV SEED [MIB]          writes recognisable data;  sum DEV [MIB]  its checksum; both past the page cache
#   stamps DEV BLOCKS FILE       a writer that goes on (stamp.py, by $STAMPS_AS such as `nice`); FILE has its last number.  Returns as
#                                soon as it has written
#   stamps_end NAME              ends all writers: none met an error
#   acknowledged FILE            the number of the last write
#   await SECONDS CMD...         until a command succeeds, or bash code that is one word; its status is the last one's.  The limit
#                                is that of a quick machine: a slow one has as many times more as it is slower
#   in_sync VG LV                waits until the images of an array are filled and it is idle
#   degraded VG LV               waits until the kernel has found that an image of an array fails: a writer goes on, or it reads
#   arrays_fill slow|fast        how quickly the kernel fills and compares images: slow keeps it under way; wants dm-raid loaded
#   moves_take PERCENT           of the time the kernel copies for a move (pvmove): 1 keeps one under way, 100 ends it
#   frail N MIB                  as loops, below disks /dev/mapper/diskI in D, which break_disk I makes fail and mend_disk I heals
#   uuid N, hex UUID, dmname VG LV, loops N MIB (sets LOOPS), settle, quiet CMD...
W=$(mktemp -d /tmp/w.XXXXXX) || exit 1
O=$W/out E=$W/err R=$W/report
# Disks that `bad` watches.
WATCH=$DISKS

say() { echo "${1//$'\n'/ | }" >&5; echo "$1"; }
ok() { say "ok $1"; }
no() { say "not ok $1: ${2:0:700}"; witness "$1"; }
# What there is to understand a failure by; of the first few alone, as the others mostly follow from them.
WITNESSES=0
witness() {
    ((WITNESSES++ < 3)) || return 0
    {
        echo "== $SCENARIO: $1"
        echo "-- poolctl"; tail -n 8 "$OUT/poolctl.log" | cut -c 1-600
        echo "-- the scenario"; tail -n 8 "$OUT/log" "$OUT/quiet.log"
        echo "-- devices"; timeout 10 dmsetup info -c -o name,uuid,attr,open,events
        timeout 10 dmsetup table; timeout 10 dmsetup status --noflush
        echo "-- the kernel"; dmesg | tail -n 12
    } >>"$OUT/witness" 2>&1
}
note() { say "# $*"; }

# One Python process answers all questions: starting one takes half a second here.
coproc HELPER { exec python3 /opt/vm/helper.py "$W" 2>>"$OUT/helper.log"; }
ask() {
    local IFS=$'\x1f' line
    line="$*"
    printf '%s\n' "${line//$'\n'/$'\x1e'}" >&"${HELPER[1]}"
    IFS= read -r REPLY <&"${HELPER[0]}"
}
q() { ask q "${2:-$O}" "$1"; printf '%s\n' "$REPLY"; }

is() { if [ "$2" = "$3" ]; then ok "$1"; else no "$1" "got '$2', want '$3'"; fi; }
that() {
    ask q "${3:-$O}" "bool($2)"
    if [ "$REPLY" = True ]; then ok "$1"; else no "$1" "$2 is '$REPLY' in $(head -c 500 "${3:-$O}")"; fi
}
runs() { local name=$1 said; shift; if said=$("$@" 2>&1); then ok "$name"; else no "$name" "'$*' exits $?: $(tail -n 3 <<<"$said")"; fi; }
fails() { local name=$1 said; shift; if said=$("$@" 2>&1); then no "$name" "'$*' succeeds: $(tail -n 2 <<<"$said")"; else ok "$name"; fi; }
quiet() { "$@" >>"$OUT/quiet.log" 2>&1 || { no "quiet $*" "exits $?: $(tail -n 3 "$OUT/quiet.log")"; return 1; }; }
settle() { [ "$UDEV" = noudev ] || udevadm settle --timeout=30; }

# poolctl ARGS: sets RC.
pc() { ask poolctl "$@"; RC=$REPLY; }
said() { echo "exit $RC, stdout '$(head -c 400 "$O")', stderr '$(tail -n 2 "$E" | head -c 400)'"; }
verdict() { if [ -z "$REPLY" ]; then ok "$1"; else no "$@" "$REPLY"; fi; }
leaks() { ask leaks; [ -z "$REPLY" ]; }
good() { local name=$1; shift; ask good "$@"; verdict "$name"; }
bad() { local name=$1 error=$2; shift 2; ask refused 1 "$error" "$WATCH" "$@"; verdict "$name"; }
usage() { local name=$1; shift; ask refused 2 - "$WATCH" "$@"; verdict "$name"; }

rep() { local cmd=$1; shift; "$cmd" --reportformat json --units b --nosuffix "$@" >"$R" 2>>"$OUT/report.log"; }
field() { local cmd=$1 what=$2; shift 2; "$cmd" --noheadings --units b --nosuffix -o "$what" "$@" 2>>"$OUT/report.log" | sed 's/^ *//; s/ *$//; q'; }
# The tools as one script, which ends at the first command that fails: to start each by itself takes most of the time.
lvm_ok() {
    local name=$1 vg=$2 said
    { printf '#!/sbin/lvm\nvgck %s\nlvs --noheadings -o lv_size %s\n' "$vg" "$vg"
        pvs --noheadings -o pv_name -S vg_name="$vg" | sed 's/^ */pvck /'; } >"$W/check" 2>"$W/checked"
    said=$(lvm "$W/check" 2>&1 || echo "it fails: $?"; cat "$W/checked")
    if grep -qiE 'warn|error|fail|corrupt|inconsist|mismatch|invalid' <<<"$said"; then no "$name" "$said"; else ok "$name"; fi
}

dmname() { echo "${1//-/--}-${2//-/--}"; }
# Table, name, uuid and state of the device; type, owner, mode and target of both nodes.  Device numbers are left out.
face() {
    local name; name=$(dmname "$1" "$2")
    dmsetup table "$name"
    dmsetup info -c --noheadings -o name,uuid,attr,segments,read_ahead "$name"
    stat -c '%N %F %U %G %a' "/dev/mapper/$name" "/dev/$1/$2" | sed -E 's/dm-[0-9]+/dm-N/g'
    [ "/dev/$1/$2" -ef "/dev/mapper/$name" ] && echo "both nodes are one device"
} 2>&1
same_face() { case $2 in *"both nodes are one device"*) is "$@" ;; *) no "$1" "not active: $2" ;; esac; }

fill() { ask fill "$1" "$2" "${3:-4}"; [ "$REPLY" = filled ] || no "fill $*" "$REPLY"; }
sum() { ask sum "$1" "${2:-4}"; printf '%s\n' "$REPLY"; }
acknowledged() { od -An -N 8 -t u8 "$1" 2>/dev/null | tr -d ' '; }
STAMPS=()
stamps() {
    local before writes=$3; before=$(acknowledged "$3")
    ${STAMPS_AS:-} python3 /opt/vm/stamp.py write "$@" 2>"$3.error" & STAMPS+=($!)
    await 30 '[ "$(acknowledged "$writes")" != "$before" ]' || no "a writer to $1 begins" "$(cat "$3.error")"
}
stamps_end() {
    local writer
    for writer in "${STAMPS[@]}"; do
        kill -TERM "$writer"
        wait "$writer"
        is "$1: a writer met no error" $? 0
    done
    STAMPS=()
}
# Ticks of the clock that a machine has at 100 a second whatever its date is, so that one that jumps makes no wait longer.
uptime_cs() { local up; read -r up _ </proc/uptime; REPLY=${up/./}; }
await() {
    local end; uptime_cs; end=$((10#$REPLY + $1 * 100 * SLOWER)); shift
    until { [ $# = 1 ] && eval "$1"; } || { [ $# != 1 ] && "$@"; }; do
        uptime_cs; ((10#$REPLY < end)) || return
        sleep 0.1
    done
}
sweep() {
    FIRST=1 STRIDE=1
    [ "$MOMENTS" = all ] || { STRIDE=$1; FIRST=$(($(cksum <<<"$SEED $SCENARIO ${BASH_LINENO[0]}" | cut -d' ' -f1) % $1 + 1)); }
}
some() {
    local count=$1 at all=$(($# - 1)); shift
    SOME=("$@")
    [ "$MOMENTS" = all ] || while [ ${#SOME[@]} -gt "$count" ]; do
        at=$(($(cksum <<<"$SEED $SCENARIO ${BASH_LINENO[0]} ${#SOME[@]}" | cut -d' ' -f1) % ${#SOME[@]}))
        unset "SOME[$at]"
        SOME=("${SOME[@]}")
    done
    note "moments ${#SOME[@]} of $all"
}
swept() {
    local killed all
    ask swept; read -r killed all <<<"$REPLY"
    if ((killed > 0 && all >= $2)); then ok "$1"; else no "$1" "killed $killed times, at $all moments"; fi
    note "moments $killed of $all"
}
stamps_held() { local name=$1; shift; ask stamps check "$@"; verdict "$name"; }
stamps_cut() { local name=$1; shift; ask stamps cut "$@"; verdict "$name"; }
uuid() { printf '%08x-0000-4000-8000-%012x\n' "$1" "$1"; }
hex() { echo "${1//-/}"; }
loops() {
    local i; LOOPS=()
    for ((i = 0; i < $1; i++)); do
        truncate -s "$2M" "$W/loop-$2-$i.img"
        LOOPS+=("$(losetup -f --show "$W/loop-$2-$i.img")")
    done
    settle
}
in_sync() {
    local name state action; name=$(dmname "$1" "$2")
    # An origin of snapshots shows another device.
    dmsetup info "$name-real" >/dev/null 2>&1 && name+=-real
    await 60 '
        read -r _ _ _ _ _ state _ action _ < <(dmsetup status "$name")
        [[ $state =~ ^A+$ && $action = idle ]]' || no "in sync" "$2: $(dmsetup status "$name")"
}
degraded() {
    local name state; name=$(dmname "$1" "$2")
    dmsetup info "$name-real" >/dev/null 2>&1 && name+=-real
    await 20 '
        dd if="/dev/mapper/$name" of=/dev/null bs=64k iflag=direct status=none
        read -r _ _ _ _ _ state _ < <(dmsetup status "$name")
        [[ $state = *D* ]]' || no "degraded" "$2: $(dmsetup status "$name")"
}
arrays_fill() {
    local rate=/proc/sys/dev/raid/speed_limit_
    case $1 in
    slow) echo 100 >${rate}min; echo 200 >${rate}max ;;
    fast) echo 200000 >${rate}max; echo 100000 >${rate}min ;;
    esac
}
moves_take() { echo "$1" >/sys/module/dm_mirror/parameters/raid1_resync_throttle; }
# The labels lie where nobody looks for one on the loop devices below.
frail() {
    local i
    loops "$1" "$2"
    FRAIL=$((($2 - 1) * 2048)) D=()
    for ((i = 0; i < $1; i++)); do
        quiet dmsetup create "disk$i" --table "0 $FRAIL linear ${LOOPS[i]} 2048"
        D+=("/dev/mapper/disk$i")
    done
    settle
}
frail_is() { # DISK TARGET...
    local disk=$1; shift
    quiet dmsetup suspend --nolockfs --noflush "disk$disk"
    quiet dmsetup load "disk$disk" --table "0 $FRAIL $*"
    quiet dmsetup resume "disk$disk"
    settle
}
break_disk() { frail_is "$1" error; }
mend_disk() { frail_is "$1" linear "${LOOPS[$1]}" 2048; }
