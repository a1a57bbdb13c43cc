# on: trixie-udev
# gate: no
# Operations on the kernel's mapper while a system call of theirs fails: a typed error or success, never a panic, a signal or a
# hang; the state is the old or the new one, the repeated call succeeds, and nothing is left over.
. /opt/vm/lib.sh
# Failures of each operation, as the seed draws.  There are thousands, at several seconds each.
MOST=4
[ "$MOMENTS" != all ] || MOST=20
A=$(uuid 0xa) B=$(uuid 0xb) T=$(uuid 0x7) S=$(uuid 0x51) C=$(uuid 0xc) M=$(uuid 0xd)
HOST=nqn.2019-05.io.openebs:node-name:a
modprobe -a nvmet nvmet-tcp dm-raid dm-snapshot dm-thin-pool dm-mirror
mountpoint -q /sys/kernel/config || quiet mount -t configfs configfs /sys/kernel/config
total=0 moments=0 refused=0

state() { ask state; echo "$REPLY"; }
# try WHAT BACK WANTED ARGS...: with each failure once, and first with the one in $FIRST.  BACK is the command that leads back to
# where it begins; WANTED are the kinds of errors that the repeated call may give where the failed one did all.
try() {
    local what=$1 back=$2 wanted=$3 old new now all failures failure answer first=$total; shift 3
    old=$(state)
    ask failures $MOST "$@"
    read -r all failures <<<"$REPLY"
    if [[ ! $failures =~ ^([a-z0-9_]+:[A-Z]+:[0-9]+ ?)+$ ]]; then no "$what has calls that may fail" "$REPLY"; return; fi
    moments=$((moments + all))
    new=$(state)
    $back
    settle
    is "$what can be undone" "$(state)" "$old"
    for failure in ${FIRST:-} $failures; do
        total=$((total + 1))
        ask failing "$failure" "$@"
        answer=$REPLY
        case $answer in
        done) ;;
        typed*) refused=$((refused + 1)) ;;
        *) no "$what with $failure" "$answer" ;;
        esac
        now=$(state)
        case "$answer ${now% active:*}" in
        "done ${new% active:*}" | "typed "*" ${old% active:*}" | "typed "*" ${new% active:*}") ;;
        *) no "$what with $failure: the old or the new state" "$answer: $now, old $old, new $new" ;;
        esac
        pc "$@"
        [ "$RC" = 0 ] || case " $wanted " in *" $(q "d['error']['kind']") "*) ;; *) no "$what with $failure is repeated" "$answer; $(said)" ;; esac
        settle
        leaks || no "$what with $failure and repeated leaves nothing" "$answer: $REPLY"
        now=$(state)
        [ "$now" = "$new" ] || no "$what with $failure and repeated ends as asked" "$answer: $now, not $new"
        $back
        settle
        now=$(state)
        [ "$now" = "$old" ] || { no "$what with $failure can be undone" "$answer: $now, not $old"; return; }
    done
    settle
    for vg in $(vgs --noheadings -o vg_name); do lvm_ok "LVM finds $vg sound after $what" "$vg"; done
    leaks; is "$what leaves nothing" "$REPLY" ""
    ok "$what with $((total - first)) failures, after $SECONDS s"
}
# Commands that lead back.
again() { quiet poolctl "$@"; }
nothing() { :; }
again_pool() { quiet poolctl pool create p /dev/vda /dev/vdb --extent-size 1M; again_first; }
again_first() { quiet poolctl replica create p "$A" 8M --name first --disk /dev/vda --zero none; }
again_disk() { quiet poolctl pool add-disk p /dev/vdb; quiet poolctl replica move "$M" --disk /dev/vdb; }
gone() { quiet poolctl replica destroy "$B"; }
create=(replica create p "$B" 8M --zero none)
snapshot=(snapshot create "$T" "$S" --name s/1 --txn 1 --entity-id e)
classic=(snapshot create "$A" "$S" --name s/1 --txn 1 --entity-id e)

try pool-create "again pool destroy p" "" pool create p /dev/vda /dev/vdb --extent-size 1M
again_pool
fill "/dev/p/$A" keep 8
keep=$(sum "/dev/p/$A" 8)
try pool-list nothing "" pool list
try replica-list nothing "" replica list
try create gone "AlreadyExists" "${create[@]}"
try create-raid1 gone "AlreadyExists" "${create[@]}" --layout raid1:2
again "${create[@]}"
try destroy "again ${create[*]}" "ReplicaNotFound" replica destroy "$B"
gone
try resize "again replica resize $A 8M --allow-shrink" "" replica resize "$A" 12M
try deactivate "again replica activate $A" "" replica deactivate "$A"
quiet poolctl replica deactivate "$A"
try activate "again replica deactivate $A" "" replica activate "$A"
quiet poolctl replica activate "$A"
try set "again replica set $A --name first --remove-tag mine" "" replica set "$A" --name second --add-tag mine
try classic-snapshot "again snapshot destroy $S" "AlreadyExists" "${classic[@]}" --size 4M
try share "again replica unshare $A" "" replica share "$A" --allow-host "$HOST"
quiet poolctl replica share "$A" --allow-host "$HOST"
try unshare "again replica share $A --allow-host $HOST" "" replica unshare "$A"
quiet poolctl replica unshare "$A"
quiet poolctl replica create p "$M" 4M --disk /dev/vdb --zero none
try remove-disk again_disk "InvalidDisk" pool remove-disk p /dev/vdb
quiet poolctl replica destroy "$M"
# With the commit made, the device has its old name.
FIRST=semget:ENOSPC:1 try rename "again pool rename q p" "PoolNotFound" pool rename p q
try export "again pool import p /dev/vda /dev/vdb" "PoolNotFound" pool export p
quiet poolctl pool export p
try import "again pool export p" "" pool import p /dev/vda /dev/vdb
quiet poolctl pool import p /dev/vda /dev/vdb
is "the data is unchanged" "$(sum "/dev/p/$A" 8)" "$keep"
try pool-destroy again_pool "PoolNotFound" pool destroy p
quiet poolctl pool create t /dev/vdc --thin-pool 64M
quiet poolctl replica create t "$T" 32M --thin
try create-thin gone "AlreadyExists" replica create t "$B" 32M --thin
try snapshot "again snapshot destroy $S" "AlreadyExists" "${snapshot[@]}"
quiet poolctl "${snapshot[@]}"
try clone "again replica destroy $C" "AlreadyExists" clone create "$S" "$C" --name c
is "some failures were told" $((refused > 0)) 1
note "moments $total of $moments"
note "$refused of these were errors"
