# gate: no
# A poolctl that is killed at any step of sharing: nobody reaches what is half made, the next call ends right, and nothing is left.
. /opt/vm/lib.sh
TARGET=/sys/kernel/config/nvmet
A=$(uuid 0xa) HOST=nqn.2019-05.io.openebs:node-name:a SECOND=nqn.2019-05.io.openebs:node-name:b
NQN=nqn.2019-05.io.openebs:$A
modprobe -a nvmet nvmet-tcp
mountpoint -q /sys/kernel/config || quiet mount -t configfs configfs /sys/kernel/config
left() { ls "$TARGET/hosts" "$TARGET/ports" "$TARGET/subsystems" | grep -v ":$" | tr -d '\n'; }
good "a pool" pool create p /dev/vda /dev/vdb
good "a replica" replica create p "$A" 8M

# whole NAME: what is linked is whole.
whole() {
    local at=$TARGET/subsystems/$NQN port=
    for port in $TARGET/ports/*/subsystems/*; do
        [ -e "$port" ] || continue
        [ "$(<"$at/namespaces/1/enable") $(<"$at/namespaces/1/device_uuid") $(<"$at/namespaces/1/device_path")" = "1 $A /dev/p/$A" ] || no "$1" "a half-made subsystem is linked"
        [ -n "$(ls "$at/allowed_hosts")" ] || no "$1" "linked without the hosts"
    done
}
# cut_all WHAT "BEFORE" "WANTED" ARGS...: kills it at each call of each kind, opens the pool, and does it again; BEFORE is the
# command that leads to where it begins, WANTED what the target has in the end.
cut_all() {
    local what=$1 before=$2 wanted=$3 call number; shift 3
    for call in mkdir rmdir symlink unlink write pwrite64; do
        sweep 12
        for ((number = FIRST; ; number += STRIDE)); do
            quiet poolctl $before
            ask cut $call $number "$@"
            [ "$REPLY" = killed ] || break
            whole "$what killed at $call $number leaves nothing half made to be reached"
            # Opening it finishes or undoes what was begun.
            quiet poolctl replica set "$A" --entity-id "e$number"
            whole "$what killed at $call $number is mended whole"
            good "$what killed at $call $number is repeated" "$@"
            is "$what killed at $call $number ends as asked" "$(ls "$TARGET/subsystems/$NQN/allowed_hosts" 2>/dev/null | tr '\n' ' ')" "$wanted"
            good "$what killed at $call $number can be ended" replica unshare "$A"
            is "$what killed at $call $number leaves nothing" "$(left)" ""
            quiet poolctl replica activate "$A"
        done
        quiet poolctl replica unshare "$A"
        quiet poolctl replica activate "$A"
    done
    swept "$what was killed at many moments" 5
    lvm_ok "LVM finds it sound after $what" p
}
cut_all "share" "replica unshare $A" "$HOST " replica share "$A" --allow-host "$HOST"
cut_all "shutting a host out" "replica share $A --allow-host $HOST --allow-host $SECOND" "$SECOND " replica share "$A" --allow-host "$SECOND"
cut_all "unshare" "replica share $A --allow-host $HOST" "" replica unshare "$A"
cut_all "deactivate" "replica share $A --allow-host $HOST" "" replica deactivate "$A"
good "the pool goes" pool destroy p
is "the target is as it was" "$(left)" ""
