# gate: bookworm-noudev trixie-noudev
# A volume over replicas on two nodes keeps serving whatever happens to one of them, and they are equal afterwards.
. /opt/vm/volume_words.sh
nodes_have_replicas
allow "$HOST3" 1 2
good "a volume is made" volume create "$V" ${MIB}M $(both)
that "it is not published" "d['device'] is None and d['size'] == $MIB << 20 and d['epoch'] == 1"
bad "it is not shown as such" NotPublished/ENOENT volume status "$V"
bad "it is made once" AlreadyExists/EEXIST volume create "$V" ${MIB}M $(both)
good "it is published" volume publish "$V" $(both)
that "with its device" "d['device'] == '$DEV' and len(d['replicas']) == 2"
bad "another volume on its replicas is refused" ReplicaMismatch/EINVAL volume create "$(uuid 0x2f)" 8M $(both)
is "and leaves its connections alone" "$(cat /sys/class/nvme/*/state)" "live"$'\n'"live"
[ -b "$DEV" ] || no "the device is there" "$(ls /dev/mapper)"
heals "at first"
equal "at first"
good "publishing what is published is success" volume publish "$V" $(both)

# A target that ends, under a writer.
writer
on_ok "node 2's target ends" 2 poolctl replica unshare "${REPLICA[2]}"
is_now "without it the volume is degraded" degraded
good "that is noted" volume heal "$V"
that "and told" "[r['state'] for r in d['replicas']] == ['online', 'absent'] and d['epoch'] >= 3"
allow "$HOST3" 2
heals "the target is back"
done_writing "a target that ended"
equal "a target that ended"

# A link that is silently dead, with somebody who looks after the volume.
poolctl --json volume monitor "$V" >"$OUT/monitor.log" 2>&1 & MONITOR=$!
await 10 test -s "$OUT/monitor.log"
writer
cut_link 1
is_now "without the link the volume is degraded" degraded
sleep 3
mend_link 1
is_now "the monitor brings it in line" online
done_writing "a dead link"
equal "a dead link"

# Both links at once: nobody knows what the other has, so nothing is acknowledged until one is there again.
writer
cut_link 1; cut_link 2
is_now "without both it is faulted" faulted
sleep 8
before=$(cat "$W/seq" | cksum)
sleep 2
is "nothing is acknowledged" "$(cat "$W/seq" | cksum)" "$before"
mend_link 2
is_now "one of them serves it again" degraded
mend_link 1
is_now "and both" online
done_writing "both links at once"
equal "both links at once"

# Power, both nodes in turn.
for node in 2 1; do
    writer
    power_cut $node
    is_now "without node $node the volume is degraded" degraded
    returns $node
    is_now "node $node is brought in line" online
    done_writing "power of node $node"
    equal "power of node $node"
done

# Only what changed is copied, once the kernel has cleared the bits of what was written before.  6.12 may leave one of these.
bits() { on 1 "dd if=/dev/p1/${REPLICA[1]} bs=4k skip=257 count=1 iflag=direct 2>/dev/null | python3 -c 'import sys; print(sum(bin(byte).count(\"1\") for byte in sys.stdin.buffer.read()[256:272]))'"; }
one_bit() { [ "$(bits)" -le 1 ]; }
runs "the bitmap forgets what was written" await 60 one_bit
cut_link 2
dd if=/dev/urandom of="$DEV" bs=4k count=1 seek=1024 oflag=direct conv=notrunc 2>/dev/null
is_now "a write finds the dead link" degraded
sleep 2
before=$(written 1)
for region in 10 20 21 60; do dd if=/dev/urandom of="$DEV" bs=512k count=1 seek=$region oflag=direct conv=notrunc 2>/dev/null; done
bits=$(bits)
note "the bitmap tells of $bits regions"
[ "$bits" = 5 ] || [ "$bits" = 6 ]; is "it tells of the five changed regions, and of one more at most" $? 0
mend_link 2
connected() { [ "$(cat /sys/class/nvme/nvme*/state | sort -u)" = live ]; }
runs "the connection comes back" await 30 connected
is_now "the replica is brought in line" online
heals "the bitmap"
copied=$(written 1)
# Unless the device was made anew when the replica was taken in.
[ "$copied" -lt "$before" ] || copied=$((copied - before))
note "$copied sectors were copied, of $((MIB * 2048))"
is "what the bitmap tells of is copied" "$copied" $((bits * 1024))
equal "the bitmap"

good "it is unpublished" volume unpublish "$V"
wait $MONITOR
good "unpublishing what is not is success" volume unpublish "$V"
is "no device is left" "$(dmsetup ls | grep volume-)" ""
is "no connection is left" "$(ls /sys/class/nvme)" ""
good "it is published again" volume publish "$V" $(both)
that "whole" "d['state'] == 'online' and all(r['state'] == 'online' for r in d['replicas'])"
python3 /opt/vm/stamp.py write "$DEV" $RING "$W/seq" 100
exec 8<>"$DEV"
bad "it is not unpublished while it is open" Busy/EBUSY volume unpublish "$V"
exec 8>&-
good "it goes" volume unpublish "$V"
