# gate: trixie-udev trixie-noudev
# A volume changes its host only when the old one is cut off, and sides that were written alone are never put together.
. /opt/vm/volume_words.sh
LOCAL=bdev:////dev/p1/${REPLICA[1]}?uuid=${REPLICA[1]}
# Node 1 as a publisher, with its own replica and that of node 2.
one() { on 1 "export HOSTNQN=$HOST1; poolctl --json volume $*"; }
one_ok() { local name=$1 said; shift; if said=$(one "$@" 2>&1); then ok "$name"; else no "$name" "$said"; fi; }
one_bad() { local name=$1 want=$2 said; shift 2; said=$(one "$@"); is "$name" "$(grep -o '"kind":"[A-Za-z]*"' <<<"$said")" "\"kind\":\"$want\""; }
mine="--replica $LOCAL --replica $(uri 2)"
seq_to_one() { on 1 "base64 -d >/tmp/seq <<<'$(base64 -w0 "$W/seq")'"; }

nodes_have_replicas
allow "$HOST3" 1 2
good "a volume" volume create "$V" ${MIB}M $(both)
good "is published by node 3" volume publish "$V" $(both)
heals "at first"

# The other host.
one_bad "a host that no target admits gets nothing" NeedsDegraded publish "$V" $mine
allow "$HOST3 $HOST1" 1 2
one_bad "nor one whose predecessor is admitted" NotFenced publish "$V" $mine
one_bad "nor by its caller's word" NotFenced publish "$V" $mine --degraded
is "it leaves nothing" "$(on 1 'dmsetup ls | grep volume-; ls /sys/class/nvme')" ""
writer
poolctl --json volume monitor "$V" >"$OUT/monitor.log" 2>&1 & MONITOR=$!
await 10 test -s "$OUT/monitor.log"
allow "$HOST1" 1 2
one_ok "now the new host publishes it" publish "$V" $mine
seq_to_one
on_ok "no acknowledged write is lost" 1 "python3 /opt/vm/stamp.py check $DEV $RING /tmp/seq"
on_ok "the new host writes" 1 "python3 /opt/vm/stamp.py write $DEV $RING /tmp/seq 200"
is_now "for the old host the volume is gone" faulted
runs "what its writer was not told of waits" kill -0 $WRITER
is "who publishes a replica of its own admits nobody else to it" "$(on 1 "poolctl --json replica share ${REPLICA[1]} --listen 10.0.1.1:8420 --allow-host $HOST1 --allow-host $HOST3" | grep -o '"kind":"[A-Za-z]*"')" '"kind":"Busy"'
allow "$HOST1 $HOST3" 2
runs "when it is admitted again its monitor learns that it is no more the publisher" await 60 grep -q '"kind":"Superseded"' "$OUT/monitor.log"
runs "what its writer was not told of still waits" kill -0 $WRITER
bad "and it is not published here by being asked to be" Superseded/ESTALE volume publish "$V" $(both)
good "it lets go" volume unpublish "$V" --abandon
wait $WRITER
fails "its writer's writes fail" [ $? = 0 ]
is "of all" "$(dmsetup ls | grep volume-; ls /sys/class/nvme)" ""
on_ok "the new host's writes are whole" 1 "python3 /opt/vm/stamp.py check $DEV $RING /tmp/seq"
one_ok "it unpublishes" unpublish "$V"
same=$(for node in 1 2; do on $node "dd if=/dev/p$node/${REPLICA[$node]} bs=1M skip=5 count=$MIB iflag=direct 2>/dev/null | cksum"; done | sort -u | wc -l)
is "the replicas are equal after a change of hosts" "$same" 1
is "and leaves nothing" "$(on 1 'dmsetup ls | grep volume-; ls /sys/class/nvme')" ""
allow "$HOST3" 1 2

# A publisher that dies at any call, and a healer.
cuts=0
for moment in pwrite64:1 pwrite64:2 ioctl:5 ioctl:12 ioctl:19 ioctl:26 ioctl:33; do
    ask cut "${moment%:*}" "${moment#*:}" volume publish "$V" $(both)
    [ "$REPLY" != killed ] || cuts=$((cuts + 1))
    settle
    ask good volume publish "$V" $(both)
    verdict "a publisher killed at $moment"
    that "killed at $moment: all replicas serve" "all(r['state'] in ('online', 'syncing') for r in d['replicas'])"
    heals "killed at $moment"
    ask good volume unpublish "$V"
    verdict "killed at $moment: it is unpublished"
done
[ $cuts -ge 5 ]; is "it was killed often enough ($cuts)" $? 0
good "it is published" volume publish "$V" $(both)
cuts=0
for moment in pwrite64:1 pwrite64:2 ioctl:16 ioctl:24 ioctl:32 ioctl:40 ioctl:48; do
    on_ok "node 2's target ends" 2 poolctl replica unshare "${REPLICA[2]}"
    python3 /opt/vm/stamp.py write "$DEV" $RING "$W/seq" 50 || no "killed at $moment: a write fails" ""
    good "that is noted" volume heal "$V"
    allow "$HOST3" 2
    python3 /opt/vm/stamp.py write "$DEV" $RING "$W/seq" 50 || no "killed at $moment: a write fails" ""
    ask cut "${moment%:*}" "${moment#*:}" volume heal "$V"
    [ "$REPLY" != killed ] || cuts=$((cuts + 1))
    settle
    heals "a healer killed at $moment"
done
[ $cuts -ge 5 ]; is "it was killed often enough ($cuts)" $? 0
equal "healers that were killed"
good "it is unpublished" volume unpublish "$V"

# Both sides alone.
good "one side alone" volume publish "$V" --replica "$(uri 1)" --degraded
dd if=/dev/urandom of="$DEV" bs=512k count=3 seek=50 oflag=direct conv=notrunc 2>/dev/null
good "goes" volume unpublish "$V"
bad "the other alone" NeedsDegraded/EBUSY volume publish "$V" --replica "$(uri 2)"
good "by the caller's word" volume publish "$V" --replica "$(uri 2)" --degraded
dd if=/dev/urandom of="$DEV" bs=512k count=2 seek=60 oflag=direct conv=notrunc 2>/dev/null
good "goes, too" volume unpublish "$V"
bad "both are not put together" SplitBrain/EILSEQ volume publish "$V" $(both)
bad "not by the caller's word" SplitBrain/EILSEQ volume publish "$V" $(both) --degraded
good "the side that counts serves" volume publish "$V" --replica "$(uri 1)"
sum=$(data "$DEV" 0)
good "the other is left alone" volume heal "$V"
that "and told" "[r['state'] for r in d['replicas']] == ['online', 'diverged'] or [r['state'] for r in d['replicas']] == ['online', 'absent']"
good "until its writes are given up" volume heal "$V" --discard "${REPLICA[2]}"
that "then it is filled" "d['state'] == 'online'"
is "with what counts" "$(data "$DEV" 0)" "$sum"
equal "given up"

# Disks that fail below a replica.
lv=p2-$(dmname x "${REPLICA[2]}"); lv=p2-${lv#p2-x-}
table=$(on 2 "dmsetup table $lv")
writer
on_ok "node 2's disk fails" 2 "dmsetup suspend --noflush $lv && dmsetup load $lv --table '0 $(cut -d' ' -f2 <<<"$table") error' && dmsetup resume $lv"
is_now "the volume is degraded" degraded
on_ok "it is mended" 2 "dmsetup suspend --noflush $lv && dmsetup load $lv --table '$table' && dmsetup resume $lv"
heals "a disk that failed"
done_writing "a disk that failed"
equal "a disk that failed"
good "it is unpublished" volume unpublish "$V"

# Three replicas: one of this node, and a thin one whose pool is full.
C=$(uuid 0xc) T=$(uuid 0xd) X=$(uuid 0xe)
good "a pool of this node" pool create p3 /dev/vda --extent-size 1M
good "with a replica" replica create p3 "$C" 70M
on_ok "a thin replica on node 2" 2 "poolctl thin create p2 40M --error-if-no-space && poolctl replica create p2 $T 70M --thin && poolctl replica share $T --listen 10.0.1.2:8420 --allow-host $HOST3"
three="--replica bdev:////dev/p3/$C?uuid=$C --replica $(uri 1 | sed "s/${REPLICA[1]}/$X/g") --replica $(uri 2 | sed "s/${REPLICA[2]}/$T/g")"
on_ok "another on node 1" 1 "poolctl replica create p1 $X 70M && poolctl replica share $X --listen 10.0.1.1:8420 --allow-host $HOST3"
V=$(uuid 0x1f) DEV=/dev/mapper/volume-$V
good "a volume of three" volume create "$V" 64M $three
good "is published" volume publish "$V" $three
good "it heals as far as there is space" volume heal "$V"
that "the full one is out" "d['state'] == 'degraded' and [r['state'] for r in d['replicas']][:2] == ['online', 'online'] and d['replicas'][2]['state'] != 'online'"
runs "it serves all the same" python3 /opt/vm/stamp.py write "$DEV" $RING "$W/seq3" 500
on_ok "the thin pool grows" 2 poolctl thin extend p2 --data 90M
heals "space was added"
is "the thin replica is equal" "$(on 2 "dd if=/dev/p2/$T bs=1M skip=5 count=64 iflag=direct 2>/dev/null | cksum")" "$(data "$DEV" 0)"
good "it is unpublished" volume unpublish "$V"
good "two of three serve without a word" volume publish "$V" $(cut -d' ' -f1-4 <<<"$three")
good "and go" volume unpublish "$V"
bad "one of three does not" NeedsDegraded/EBUSY volume publish "$V" --replica "bdev:////dev/p3/$C?uuid=$C"
bad "a URI that leads nowhere" InvalidArgument/EINVAL volume publish "$V" --replica nvmf://here/x
bad "a replica that is not the volume's" ReplicaMismatch/EINVAL volume publish "$V" $three --replica "$(uri 1)"
bad "a volume of nothing" InvalidArgument/EINVAL volume create "$(uuid 0x2f)" 0 --replica "$(uri 1)"
bad "a volume on replicas of another" ReplicaMismatch/EINVAL volume create "$(uuid 0x2f)" 8M --replica "$(uri 1)"
bad "a volume too large for its replica" ReplicaMismatch/EINVAL volume create "$V" 1G $three

# A host that connects under another name than its own is looked for under that.
V=$(uuid 0xf) DEV=/dev/mapper/volume-$V HOSTX=nqn.2019-05.io.openebs:node-name:another
allow "$HOSTX $HOST1" 1 2
good "a host publishes under another name" volume publish "$V" --replica "$(uri 1)&hostnqn=$HOSTX" --replica "$(uri 2)&hostnqn=$HOSTX"
one_bad "none takes over while that name is admitted" NotFenced publish "$V" $mine
allow "$HOST1" 1 2
one_ok "one does when it is not" publish "$V" $mine
good "the old host lets go" volume unpublish "$V" --abandon
one_ok "the new one unpublishes" unpublish "$V"
