# on: bookworm-noudev trixie-udev
# A poolctl that is killed at any moment: the next one finishes or undoes what was cut.
. /opt/vm/lib.sh
good "a pool" pool create p /dev/vda /dev/vdb
good "a replica with data" replica create p "$(uuid 1)" 16M
fill "/dev/p/$(uuid 1)" keep 16
keep=$(sum "/dev/p/$(uuid 1)" 16)

# What a killed process leaves of udev's cookies, too, the next one removes.
# Opens the pool again as a restarted program does, and looks that all is sound.
recovers() { # NAME
    ask good pool import p /dev/vda /dev/vdb
    local why=$REPLY said
    said=$(vgck p 2>&1) || why+=" vgck: $said"
    said=$(lvs --noheadings -o lv_name,lv_active,lv_tags p 2>&1)
    ! grep -v '^$' <<<"$said" | grep -qv ' active ' || why+=" not all active: $said"
    [ "$(dmsetup ls | grep -c '^p-')" = "$(grep -c . <<<"$said")" ] || why+=" devices: $(dmsetup ls) LVs: $said"
    REPLY=$why
    verdict "$1"
}
# Kills a command at many moments of its run.
cut_all() { # WHAT UNDO ARGS...
    local what=$1 undo=$2 part cuts=0; shift 2
    ask duration "$@"
    local whole=$REPLY
    $undo
    for part in 50 70 85 95; do
        ask cut "$whole" $part "$@"
        [ "$REPLY" = killed ] && cuts=$((cuts + 1))
        settle
        recovers "$what killed at $part % of its time recovers"
        $undo
    done
    runs "$what was killed at several moments" test $cuts -ge 1
    note "$what takes $whole s and was killed $cuts times"
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
ask duration pool destroy p; destroy=$REPLY
ask duration pool create p /dev/vda /dev/vdb; create=$REPLY
for part in 50 70 90; do
    ask cut "$destroy" $part pool destroy p
    settle
    pc pool destroy p
    [ "$RC" = 0 ] || [ "$(q "d['error']['kind']")" = PoolNotFound ] || no "pool destroy killed at $part % is repeated" "$(said)"
    ask leaks; is "pool destroy killed at $part % and repeated leaves nothing" "$REPLY" ""
    is "pool destroy killed at $part % ends with blank disks" "$(blkid -p -o value -s TYPE /dev/vda /dev/vdb)" ""
    is "pool destroy killed at $part % leaves no device" "$(dmsetup ls | grep -c '^p-')" 0
    ask cut "$create" $part pool create p /dev/vda /dev/vdb
    settle
    good "pool create killed at $part % is repeated" pool create p /dev/vda /dev/vdb
    lvm_ok "pool create killed at $part % ends with a sound pool" p
    quiet poolctl replica create p "$(uuid 1)" 8M --zero none
done
good "the pool goes" pool destroy p

# In the middle of many.
good "a pool again" pool create p /dev/vda /dev/vdb
for delay in 0.4 0.8; do
    poolctl replica create-many p 20 4M >/dev/null 2>&1 &
    sleep $delay
    kill -9 $! 2>/dev/null
    wait $! 2>/dev/null
    settle
    recovers "create-many killed after $delay s recovers"
    is "all or none of them are there after $delay s" "$(($(lvs --noheadings p | wc -l) % 20))" 0
    poolctl pool destroy p >/dev/null && poolctl pool create p /dev/vda /dev/vdb >/dev/null
done
good "the last pool goes" pool destroy p
