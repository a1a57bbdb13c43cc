# gate: no
# A host under a writer is cut off, one node after the other or both at once, and another goes on with every write it was told of.
. /opt/vm/volume_words.sh
LOCAL=bdev:////dev/p1/${REPLICA[1]}?uuid=${REPLICA[1]}
one() { on 1 "export HOSTNQN=$HOST1; poolctl --json volume $*"; }
one_ok() { local name=$1 said; shift; if said=$(one "$@" 2>&1); then ok "$name"; else no "$name" "$said"; fi; }
mine="--replica $LOCAL --replica $(uri 2)"
unshared() { LIMIT=60 on "$2" "sleep $1; exec poolctl replica share ${REPLICA[$2]} --listen 10.0.1.$2:8420 --allow-host $HOST1" >"$W/cut$2" 2>&1; }
nodes_have_replicas
allow "$HOST3 $HOST1" 1 2
good "a volume" volume create "$V" ${MIB}M $(both)
TRIES=${TRIES:-12}
for ((try = 1; try <= TRIES; try++)); do
    allow "$HOST3" 1 2
    good "$try: node 3 publishes" volume publish "$V" $(both)
    heals "$try: before"
    poolctl --json volume monitor "$V" >"$OUT/monitor$try.log" 2>&1 & MONITOR=$!
    await 10 test -s "$OUT/monitor$try.log"
    writer
    sleep 1
    first=$((try % 2 + 1)) wait=0.$((try * 7 % 10))
    note "$try: node $first is left first, the other after $wait s"
    unshared 0 $first & A=$!
    unshared "$wait" $((3 - first)) & B=$!
    wait $A; is "$try: cut off from node $first" $? 0
    wait $B; is "$try: and from the other" $? 0
    one_ok "$try: node 1 publishes" publish "$V" $mine
    on 1 "base64 -d >/tmp/seq <<<'$(base64 -w0 "$W/seq")'"
    on_ok "$try: no acknowledged write is lost" 1 "python3 /opt/vm/stamp.py check $DEV $RING /tmp/seq"
    note "$try: $(grep -o '"state":"[a-z]*"' "$OUT/monitor$try.log" | tr '\n' ' ')"
    one_ok "$try: it heals" heal "$V"
    on_ok "$try: all is still there" 1 "python3 /opt/vm/stamp.py check $DEV $RING /tmp/seq"
    top=$(on 1 "python3 /opt/vm/stamp.py newest $DEV $RING")
    one_ok "$try: it unpublishes" unpublish "$V"
    sums=$(for node in 1 2; do on $node "dd if=/dev/p$node/${REPLICA[$node]} bs=1M skip=5 count=$MIB iflag=direct 2>/dev/null | cksum"; done | sort -u | wc -l)
    is "$try: the replicas are equal" "$sums" 1
    kill $MONITOR
    pc volume unpublish "$V" --abandon
    is "$try: the old host lets go" "$RC $(cat "$E")" "0 "
    wait $WRITER
    fails "$try: its writes failed" [ $? = 0 ]
    # It goes on from what there is: a write may have been under way, and one that was let go of may have been called done.
    python3 -c "import struct; open('$W/seq', 'wb').write(struct.pack('<QQ', $top, 0))"
done
