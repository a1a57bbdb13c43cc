# memory: 3072
# disks: 1024
# Times thin replicas, snapshots and clones beside the tools' own commands, at growing numbers of snapshots of one replica.
#
# Lines of $OUT/times: WHO SNAPSHOTS OPERATION MICROSECONDS.
. /opt/vm/lib.sh
VG=bench POOL=mayastor-thinpool ROUNDS=5

lap() { # WHO SNAPSHOTS OPERATION CMD...
    local who=$1 count=$2 operation=$3 start end; shift 3
    start=${EPOCHREALTIME/./}
    "$@" >/dev/null 2>>"$OUT/stderr" || no "$who $operation at $count" "$* fails: $(tail -n 2 "$OUT/stderr")"
    end=${EPOCHREALTIME/./}
    echo "$who $count $operation $((end - start))" >>"$OUT/times"
}
# How long a writer to the replica waits while a snapshot is taken.
stalled() { # WHO SNAPSHOTS CMD...
    local who=$1 count=$2 writer; shift 2
    python3 /opt/vm/stamp.py write "/dev/$VG/$source" 1 "$W/seq" &
    writer=$!
    sleep 2
    "$@" >/dev/null 2>>"$OUT/stderr" || no "$who stalls at $count" "$(tail -n 2 "$OUT/stderr")"
    kill -TERM $writer
    wait $writer
    echo "$who $count stall $(python3 /opt/vm/stamp.py stall "$W/seq")" >>"$OUT/times"
}

good "a pool" pool create $VG /dev/vda --extent-size 1M --metadata-size 32M
good "a thin pool" thin create $VG 256M --snapshots 1200
for count in ${SNAPSHOTS:-1 100 1000}; do
    bench_ops thin $VG 1 "$count" --rounds 11 >"$W/ours" 2>>"$OUT/stderr" || no "bench_ops at $count" "$(tail -n 2 "$OUT/stderr")"
    while read -r operation micros; do
        echo "process $count $operation ${micros%.*}" >>"$OUT/times"
    done <"$W/ours"
    bench_ops thin-floor "$VG-${POOL/-/--}-tpool" /dev/vdb --rounds 11 >"$W/floor" 2>>"$OUT/stderr" || no "the floor at $count" "$(tail -n 2 "$OUT/stderr")"
    while read -r operation micros; do
        echo "floor $count $operation ${micros%.*}" >>"$OUT/times"
    done <"$W/floor"
    source=$(lvs --noheadings -o lv_name -S 'segtype=thin && lv_tags=mayastor.lv.share=off' $VG | tr -d ' ' | head -n 1)
    fill "/dev/$VG/$source" data 4
    for ((round = 0; round < ROUNDS; round++)); do
        # A snapshot that is activated, as a clone is; and one that is not.
        lap tools "$count" snapshot lvcreate -y -q -s -pr -n "snap$round" "$VG/$source"
        lap tools "$count" clone lvcreate -y -q -s -kn -n "clone$round" "$VG/snap$round"
        lap tools "$count" thin-create lvcreate -y -q -V 64m -T "$VG/$POOL" -n "thin$round"
        lap tools "$count" thin-destroy lvremove -y -q "$VG/thin$round"
        lap tools "$count" destroy-clone lvremove -y -q "$VG/clone$round"
        lap tools "$count" destroy-snapshot lvremove -y -q "$VG/snap$round"
        id=$(uuid $((0x2000 + round)))
        lap poolctl "$count" snapshot poolctl --json snapshot create "$source" "$id" --name "n/$round" --txn 1 --entity-id e
        lap poolctl "$count" destroy-snapshot poolctl --json snapshot destroy "$id"
        stalled tools "$count" lvcreate -y -q -s -n stalled "$VG/$source"
        quiet lvremove -y -q "$VG/stalled"
        stalled poolctl "$count" poolctl snapshot create "$source" "$id" --name "n/$round" --txn 1 --entity-id e
        quiet poolctl snapshot destroy "$id"
    done
    ok "timed at $count snapshots"
done
lvm_ok "LVM finds nothing wrong afterwards" $VG
