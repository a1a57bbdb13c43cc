# Times what io-engine's LVM backend runs today against the library, at growing numbers of LVs.
#
# Lines of $OUT/times: WHO LVS OPERATION MICROSECONDS.  Traces of system calls: $OUT/trace-WHO-OPERATION.
. /opt/vm/lib.sh
VG=bench
ROUNDS=3
# Tracing is slow, and the counts hardly grow with the number of LVs but for the tools' reads.
TRACED=100

# lap WHO LVS OPERATION CMD...: runs it, quietly, and notes how long it took.
lap() {
    local who=$1 lvs=$2 operation=$3 start end; shift 3
    start=${EPOCHREALTIME/./}
    "$@" >/dev/null 2>>"$OUT/stderr" || no "$who $operation at $lvs" "$* fails: $(tail -n 2 "$OUT/stderr")"
    end=${EPOCHREALTIME/./}
    echo "$who $lvs $operation $((end - start))" >>"$OUT/times"
}

# The backend's commands: it looks the objects up before and after each change.
vgs_() { vgs --units=b --nosuffix -q --options=vg_name,vg_uuid,vg_size,vg_free,vg_tags,pv_name --reportformat=json --select "vg_name=$VG"; }
lvs_() { lvs --units=b --nosuffix -q --options=lv_name,vg_name,lv_path,lv_size,lv_uuid,lv_tags,vg_tags,lv_attr --reportformat=json --select "lv_name=$1"; }
tools_create() { vgs_ && lvcreate -y -q -L 128k -n "$1" --addtag "mayastor.lv.name=$1" --addtag mayastor.lv.share=off --addtag mayastor $VG && lvs_ "$1"; }
tools_settag() { lvs_ "$1" && lvchange -q --deltag mayastor.lv.share=off --addtag mayastor.lv.share=off --addtag "mayastor.lv.entity_id=$1" $VG/"$1"; }
tools_resize() { lvs_ "$1" && lvresize -y -q -L 256k $VG/"$1"; }
tools_list() { lvs --units=b --nosuffix -q --options=lv_name,vg_name,lv_path,lv_size,lv_uuid,lv_tags,vg_tags,lv_attr --reportformat=json --select 'vg_tags=mayastor'; }
tools_destroy() { lvs_ "$1" && lvremove -y -q $VG/"$1"; }

ours_create() { poolctl --json replica create $VG "$1" 128K; }
ours_settag() { poolctl --json replica set "$1" --entity-id "$1"; }
ours_resize() { poolctl --json replica resize "$1" 256K; }
ours_list() { poolctl --json replica list; }
ours_destroy() { poolctl --json replica destroy "$1"; }

OPERATIONS="create settag resize list destroy"
# traced WHO PREFIX UUID: each operation once more under strace.  Functions need a shell of their own to be traced.
traced() {
    local operation
    for operation in $OPERATIONS; do
        strace -f -qq -o "$OUT/trace-$1-$operation" bash -c "$(declare -f vgs_ lvs_ "${2}_$operation"); VG=$VG; ${2}_$operation $3" >/dev/null 2>>"$OUT/stderr"
    done
}

# One disk, as most pools have.
good "a pool" pool create $VG /dev/vda --extent-size 128K --metadata-size 4M
for lvs in ${LVS:-1 100 1000}; do
    # Fills up to the number of LVs, and times the long-lived process.
    bench_ops --rounds 11 $VG "$lvs" >"$W/ours" 2>>"$OUT/stderr" || no "bench_ops at $lvs" "$(tail -n 2 "$OUT/stderr")"
    while read -r operation micros; do
        echo "process $lvs ${operation/-/} ${micros%.*}" >>"$OUT/times"
    done <"$W/ours"
    # What is the kernel's and the disk's of these, beside as many devices.
    bench_ops --rounds 11 --floor /dev/vdb >"$W/floor" 2>>"$OUT/stderr" || no "the floor at $lvs" "$(tail -n 2 "$OUT/stderr")"
    while read -r operation micros; do
        echo "floor $lvs ${operation/-/} ${micros%.*}" >>"$OUT/times"
    done <"$W/floor"
    for ((round = 0; round < ROUNDS; round++)); do
        for who in tools ours; do
            id=$(uuid $((0x1000 + round)))
            for operation in $OPERATIONS; do
                lap $who "$lvs" "$operation" ${who}_$operation "$id"
            done
        done
    done
    if [ "$lvs" = $TRACED ]; then
        strace -f -qq -o "$OUT/trace-process" bench_ops --rounds 1 --mark $VG "$lvs" >/dev/null 2>>"$OUT/stderr"
        traced tools tools "$(uuid 77)"
        traced poolctl ours "$(uuid 78)"
    fi
    ok "timed at $lvs LVs"
done
lvm_ok "LVM finds nothing wrong afterwards" $VG
