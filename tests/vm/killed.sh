# A poolctl that is killed anywhere: the next one finishes or undoes what was cut.
. /opt/vm/lib.sh
good "a pool" pool create p /dev/vda /dev/vdb
good "a replica with data" replica create p "$(uuid 1)" 16M
fill "/dev/p/$(uuid 1)" keep 16
keep=$(sum "/dev/p/$(uuid 1)" 16)

# Kills a command as its N-th call of SYSCALL begins.
cut_at() { # SYSCALL N ARGS...
    local call=$1 at=$2; shift 2
    strace -f --seccomp-bpf -qq -o /dev/null -e trace="$call" -e inject="$call:signal=KILL:when=$at" poolctl "$@" >/dev/null 2>&1
    [ $? = 137 ]
}
# Opens the pool again as a restarted program does, and looks that all is sound.
recovers() { # NAME
    ask good pool import p /dev/vda /dev/vdb
    local why=$REPLY said
    said=$(vgck p 2>&1) || why+=" vgck: $said"
    said=$(lvs --noheadings -o lv_name,lv_active,lv_tags p 2>&1)
    ! grep -qv ' active ' <<<"$said" || why+=" inactive: $said"
    [ "$(dmsetup ls | grep -c '^p-')" = "$(grep -c . <<<"$said")" ] || why+=" devices: $(dmsetup ls) LVs: $said"
    REPLY=$why
    verdict "$1"
}
# Cuts at every second call (the odd ones with udevd, the even ones without), until the command runs to its end.
cut_all() { # WHAT UNDO ARGS...
    local what=$1 undo=$2 call at cuts=0 first=1; shift 2
    [ "$UDEV" = udev ] || first=2
    for call in pwrite64 fdatasync ioctl; do
        for ((at = first; at < 60; at += 2)); do
            cut_at $call $at "$@" || break
            cuts=$((cuts + 1))
            recovers "$what killed at $call $at recovers"
            $undo
        done
        $undo
    done
    runs "$what was killed at several points" test $cuts -ge 4
    note "$what was killed at $cuts points"
}
no_second() { poolctl replica destroy "$(uuid 2)" >/dev/null 2>&1; true; }
same_size() { quiet poolctl replica resize "$(uuid 1)" 16M --allow-shrink; }
cut_all "create" no_second replica create p "$(uuid 2)" 8M --zero none
cut_all "create with zeroing" no_second replica create p "$(uuid 2)" 8M --zero full
cut_all "resize" same_size replica resize "$(uuid 1)" 40M
is "the data is unchanged" "$(sum "/dev/p/$(uuid 1)" 16)" "$keep"
second() { poolctl replica create p "$(uuid 2)" 8M --zero none >/dev/null 2>&1; true; }
second
cut_all "destroy" second replica destroy "$(uuid 2)"
is "the data is still unchanged" "$(sum "/dev/p/$(uuid 1)" 16)" "$keep"
lvm_ok "LVM finds it sound" p

# Pools: what was cut is repeated, and succeeds.
for cut in "pwrite64 1" "pwrite64 4" "fdatasync 2" "fdatasync 5" "ioctl 4"; do
    cut_at $cut pool destroy p
    ask leaks; is "pool destroy killed at $cut leaves nothing in between" "$REPLY" ""
    pc pool destroy p
    [ "$RC" = 0 ] || [ "$(q "d['error']['kind']")" = PoolNotFound ] || no "pool destroy killed at $cut is repeated" "$(said)"
    is "pool destroy killed at $cut ends with blank disks" "$(blkid -p -o value -s TYPE /dev/vda /dev/vdb)" ""
    is "pool destroy killed at $cut leaves no device" "$(dmsetup ls | grep -c '^p-')" 0
    cut_at $cut pool create p /dev/vda /dev/vdb
    good "pool create killed at $cut is repeated" pool create p /dev/vda /dev/vdb
    lvm_ok "pool create killed at $cut ends with a sound pool" p
    quiet poolctl replica create p "$(uuid 1)" 8M --zero none
done
good "the pool goes" pool destroy p

# Killed by the clock, in the middle of many.
good "a pool again" pool create p /dev/vda /dev/vdb
for delay in 0.4 0.8; do
    poolctl replica create-many p 20 4M >/dev/null 2>&1 &
    sleep $delay
    kill -9 $! 2>/dev/null
    wait $! 2>/dev/null
    recovers "create-many killed after $delay s recovers"
    is "all or none of them are there after $delay s" "$(($(lvs --noheadings p | wc -l) % 20))" 0
    poolctl pool destroy p >/dev/null && poolctl pool create p /dev/vda /dev/vdb >/dev/null
done
good "the last pool goes" pool destroy p
