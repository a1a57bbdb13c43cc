# A poolctl that is killed anywhere: the next one finishes or undoes what was cut.
. /opt/vm/lib.sh
good "a pool" pool create p /dev/vda /dev/vdb
good "a replica with data" replica create p "$(uuid 1)" 16M
fill "/dev/p/$(uuid 1)" keep 16
keep=$(sum "/dev/p/$(uuid 1)" 16)

# Kills a command at its N-th write, flush or ioctl: strace sends the signal as the call begins.
cut_at() { # N ARGS...
    local at=$1; shift
    strace -f -qq -o /dev/null -e inject=pwrite64,fdatasync,fsync,ioctl:signal=KILL:when="$at" poolctl --json "$@" >/dev/null 2>&1
    [ $? = 137 ]
}
# Opens the pool again as a restarted program does, and looks that all is sound.
recovers() { # NAME
    pc pool import p /dev/vda /dev/vdb
    local why=
    [ $RC = 0 ] || why="$(said)"
    leaks || why+="left over: $REPLY "
    [ -z "$(vgck p 2>&1)" ] || why+="vgck: $(vgck p 2>&1) "
    [ "$(lvs --noheadings -o lv_active p | sort -u | tr -d ' ')" = active ] || why+="inactive: $(lvs --noheadings -o lv_name,lv_active,lv_tags p) "
    local devices lvs
    devices=$(dmsetup ls | grep -c '^p-') lvs=$(lvs --noheadings p | wc -l)
    [ "$devices" = "$lvs" ] || why+="$devices devices of $lvs LVs: $(dmsetup ls) "
    if [ -z "$why" ]; then ok "$1"; else no "$1" "$why"; fi
}
cut_all() { # WHAT STEP UNDO ARGS...: cuts at every STEP-th point until the command runs to its end
    local what=$1 step=$2 undo=$3 at cuts=0; shift 3
    for ((at = 1; at < 400; at += step)); do
        cut_at $at "$@" || break
        cuts=$((cuts + 1))
        recovers "$what killed at call $at recovers"
        $undo
    done
    runs "$what was killed at several points ($cuts)" test $cuts -gt 2
    $undo
}
no_second() { poolctl replica destroy "$(uuid 2)" >/dev/null 2>&1; true; }
same_size() { quiet poolctl replica resize "$(uuid 1)" 16M --allow-shrink; }
step=3
cut_all "create" $step no_second replica create p "$(uuid 2)" 8M --zero none
cut_all "create with zeroing" $step no_second replica create p "$(uuid 2)" 8M --zero full
cut_all "resize" $step same_size replica resize "$(uuid 1)" 40M
is "the data is unchanged" "$(sum "/dev/p/$(uuid 1)" 16)" "$keep"
second() { poolctl replica create p "$(uuid 2)" 8M --zero none >/dev/null 2>&1; true; }
second
cut_all "destroy" $step second replica destroy "$(uuid 2)"
is "the data is still unchanged" "$(sum "/dev/p/$(uuid 1)" 16)" "$keep"
lvm_ok "LVM finds it sound" p

# Pools: what was cut is repeated, and succeeds.
for at in 3 6 9 12 15 18 21; do
    cut_at $at pool destroy p || break
    leaks || no "nothing is left over after destroy killed at $at" "$REPLY"
    pc pool destroy p
    [ $RC = 0 ] || [ "$(q "d['error']['kind']")" = PoolNotFound ] || no "destroy killed at $at is repeated" "$(said)"
    is "destroy killed at $at ends with blank disks" "$(blkid -p -o value -s TYPE /dev/vda /dev/vdb)" ""
    is "destroy killed at $at leaves no device" "$(dmsetup ls | grep -c '^p-')" 0
    cut_at $at pool create p /dev/vda /dev/vdb
    pc pool create p /dev/vda /dev/vdb
    [ $RC = 0 ] || { no "create killed at $at is repeated" "$(said)"; pc pool create p /dev/vda /dev/vdb --force; }
    lvm_ok "create killed at $at ends with a sound pool" p
    quiet poolctl replica create p "$(uuid 1)" 8M --zero none
done
pc pool destroy p
leaks
is "nothing is left over at the end" "$REPLY" ""

# Killed by the clock, in the middle of many.
good "a pool again" pool create p /dev/vda /dev/vdb
for delay in 0.2 0.35 0.5 0.8; do
    poolctl replica create-many p 20 4M >/dev/null 2>&1 &
    sleep $delay
    kill -9 $! 2>/dev/null
    wait $! 2>/dev/null
    recovers "create-many killed after $delay s recovers"
    is "all or none of them are there after $delay s" "$(($(lvs --noheadings p | wc -l) % 20))" 0
    poolctl pool destroy p >/dev/null && poolctl pool create p /dev/vda /dev/vdb >/dev/null
    good "a replica to recover, after $delay s" replica create p "$(uuid 1)" 4M --zero none
    good "it goes, after $delay s" replica destroy "$(uuid 1)"
done
good "the pool goes" pool destroy p
