# Words for scenarios of volumes in a cluster.  Each begins with: . /opt/vm/volume_words.sh
#
# Nodes 1 and 2 have a pool pN on /dev/vda with a replica, of which node 3 publishes the volume V.
#
#   allow HOSTS N...             shares the replicas of these nodes with these hosts and no others
#   uri N                        the URI of a node's replica
#   returns N                    a node that lost its power imports its pool, which shares its replica again
#   writer, done_writing NAME    a writer with stamps on the volume; it ends without an error, and nothing that was acknowledged is lost
#   is_now NAME STATE            the volume is in that state within a minute, without a word of ours
#   heals NAME                   `volume heal` brings all replicas in line
#   equal NAME                   the replicas are equal, and equal to the volume, past the page caches
export HOSTNQN=nqn.2019-05.io.openebs:node-name:node3
. /opt/vm/lib.sh
. /opt/vm/cluster.sh
HOST1=nqn.2019-05.io.openebs:node-name:node1
HOST3=$HOSTNQN
V=$(uuid 0xf) MIB=64
REPLICA=("" "$(uuid 1)" "$(uuid 2)")
DEV=/dev/mapper/volume-$V
RING=4096

uri() { echo "nvmf://10.0.1.$1:8420/nqn.2019-05.io.openebs:${REPLICA[$1]}?uuid=${REPLICA[$1]}"; }
both() { echo "--replica $(uri 1) --replica $(uri 2)"; }
on_ok() { local name=$1 node=$2 said; shift 2; if said=$(on "$node" "$*" 2>&1); then ok "$name"; else no "$name" "node $node: exit $?: $said"; fi; }
allow() {
    local hosts=() host node
    for host in $1; do hosts+=(--allow-host "$host"); done
    shift
    for node in "$@"; do
        on_ok "node $node shares with ${#hosts[@]} words" "$node" poolctl --json replica share "${REPLICA[$node]}" --listen "10.0.1.$node:8420" "${hosts[@]}"
    done
}
returns() {
    await_node "$1"
    on_ok "node $1 imports its pool" "$1" poolctl --json pool import "p$1" /dev/vda
}
nodes_have_replicas() {
    local node
    for node in 1 2; do
        on_ok "node $node has a replica" "$node" "poolctl pool create p$node /dev/vda --extent-size 1M && poolctl replica create p$node ${REPLICA[$node]} $((MIB + 6))M"
    done
}
writer() {
    python3 /opt/vm/stamp.py write "$DEV" $RING "$W/seq" 2>"$W/writer" & WRITER=$!
    await 20 test -s "$W/seq" || no "the writer begins" "$(cat "$W/writer")"
}
done_writing() {
    kill -TERM $WRITER
    wait $WRITER
    is "$1: no write failed" "$?: $(tail -n 1 "$W/writer")" "0: "
    runs "$1: no acknowledged write is lost" python3 /opt/vm/stamp.py check "$DEV" $RING "$W/seq"
    note "$1: the longest stall was $(($(python3 /opt/vm/stamp.py stall "$W/seq") / 1000)) ms"
}
state() { pc volume status "$V"; q "d['state']"; }
is_state() { [ "$(state)" = "$1" ]; }
is_now() { await 60 is_state "$2"; is "$1" "$(state)" "$2"; }
heals() {
    ask good volume heal "$V"
    verdict "$1: it heals"
    that "$1: all replicas are in line" "d['state'] == 'online' and all(r['state'] == 'online' and r['sync'] == 1 for r in d['replicas'])"
}
data() { dd if="$1" bs=1M skip="$2" count=$MIB iflag=direct 2>/dev/null | cksum; }
equal() {
    local volume node
    volume=$(data "$DEV" 0)
    for node in 1 2; do
        is "$1: node $node's replica is equal" "$(on "$node" "dd if=/dev/p$node/${REPLICA[$node]} bs=1M skip=5 count=$MIB iflag=direct 2>/dev/null | cksum")" "$volume"
    done
}
# Sectors written to the data of a replica, by its place in the volume.
written() { local dm; dm=$(basename "$(realpath "$(dmsetup info -c --noheadings -o blkdevname "volume-$V-$1-data" | sed 's,^,/dev/,')")"); awk '{ print $7 }' "/sys/block/$dm/stat"; }
