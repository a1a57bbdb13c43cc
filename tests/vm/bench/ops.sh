# Times what io-engine's LVM backend runs today against the library, at growing numbers of LVs.
# memory: 4096
# disks: 4096
#
# Lines of $OUT/times: WHO LVS OPERATION MICROSECONDS.  Traces of system calls: $OUT/trace-WHO-OPERATION.
. /opt/vm/lib.sh
VG=bench EXTENT=128K

# lap WHO LVS OPERATION CMD...: runs it, quietly, and notes how long it took.
lap() {
    local who=$1 lvs=$2 operation=$3 start end; shift 3
    start=${EPOCHREALTIME/./}
    "$@" >/dev/null 2>>"$OUT/stderr" || no "$who $operation at $lvs" "$* fails: $(tail -n 2 "$OUT/stderr")"
    end=${EPOCHREALTIME/./}
    echo "$who $lvs $operation $((end - start))" >>"$OUT/times"
}

# ours WHO LVS ARGS...: runs bench_ops and notes the times that it prints.
ours() {
    local who=$1 lvs=$2 operation micros; shift 2
    bench_ops "$@" >"$W/ours" 2>>"$OUT/stderr" || no "bench_ops $* at $lvs" "$(tail -n 2 "$OUT/stderr")"
    while read -r operation micros; do
        echo "$who $lvs $operation ${micros%.*}" >>"$OUT/times"
    done <"$W/ours"
}

# The backend's commands: it looks the objects up before and after each change.
vgs_() { vgs --units=b --nosuffix -q --options=vg_name,vg_uuid,vg_size,vg_free,vg_tags,pv_name --reportformat=json --select "vg_name=$VG"; }
lvs_() { lvs --units=b --nosuffix -q --options=lv_name,vg_name,lv_path,lv_size,lv_uuid,lv_tags,vg_tags,lv_attr --reportformat=json --select "lv_name=$1"; }
tools_create() { vgs_ && lvcreate -y -q -L 128k -n "$1" --addtag "mayastor.lv.name=$1" --addtag mayastor.lv.share=off --addtag mayastor $VG && lvs_ "$1"; }
tools_set-tag() { lvs_ "$1" && lvchange -q --deltag mayastor.lv.share=off --addtag mayastor.lv.share=off --addtag "mayastor.lv.entity_id=$1" $VG/"$1"; }
tools_resize() { lvs_ "$1" && lvresize -y -q -L 256k $VG/"$1"; }
tools_list() { lvs --units=b --nosuffix -q --options=lv_name,vg_name,lv_path,lv_size,lv_uuid,lv_tags,vg_tags,lv_attr --reportformat=json --select 'vg_tags=mayastor'; }
tools_activate() { vgchange -qay $VG; }
tools_destroy() { lvs_ "$1" && lvremove -y -q $VG/"$1"; }

poolctl_create() { poolctl --json replica create $VG "$1" 128K; }
poolctl_set-tag() { poolctl --json replica set "$1" --entity-id "$1"; }
poolctl_resize() { poolctl --json replica resize "$1" 256K; }
poolctl_list() { poolctl --json replica list; }
poolctl_destroy() { poolctl --json replica destroy "$1"; }

OPERATIONS="create set-tag resize list destroy"

# at LVS ROUNDS [OPERATION...]: all operations, or those, at this number of LVs; fills up to it first.
at() {
    local lvs=$1 rounds=$2 round who id operation; shift 2
    ours process "$lvs" ops $VG "$lvs"
    # What is the kernel's and the disk's of these, beside as many devices.
    ours floor "$lvs" floor /dev/vdb
    for ((round = 0; round < rounds; round++)); do
        for who in tools poolctl; do
            id=$(uuid $((0x1000 + round)))
            for operation in ${*:-$OPERATIONS}; do
                lap $who "$lvs" "$operation" ${who}_"$operation" "$id"
            done
        done
        lap tools "$lvs" open vgs_
        lap tools "$lvs" print vgcfgbackup -q -f "$W/backup" $VG
    done
    ok "timed at $lvs LVs"
}

# traced WHO LVS OPERATION...: once more under strace.  Functions need a shell of their own to be traced.
traced() {
    local who=$1 lvs=$2 operation id; shift 2
    id=$(uuid 77)
    for operation; do
        strace -f -qq -o "$OUT/trace-$who-$lvs-$operation" bash -c "$(declare -f vgs_ lvs_ "${who}_$operation"); VG=$VG; ${who}_$operation $id" >/dev/null 2>>"$OUT/stderr"
    done
}

# The kernel waits for every processor when a device goes, some 40 ms.  What is not timed need not.
hurry() { echo 1 >/sys/kernel/rcu_expedited; "$@" >/dev/null 2>>"$OUT/stderr" || no "$*" "fails"; settle; echo 0 >/sys/kernel/rcu_expedited; }

# activate LVS: all of the pool's LVs, first by the tools and then by the library.
activate() {
    hurry vgchange -qan $VG
    lap tools "$1" activate tools_activate
    settle
    hurry poolctl pool export $VG
    ours process "$1" activate $VG /dev/vda
    settle
    ok "activated $1 LVs"
}

# One disk, as most pools have.  All LVs are active.
good "a pool" pool create $VG /dev/vda --extent-size $EXTENT --metadata-size 32M
at 10 3
activate 10
at 100 3
strace -f -qq -o "$OUT/trace-process-100" bench_ops ops --rounds 1 --mark $VG 100 >/dev/null 2>>"$OUT/stderr"
traced tools 100 $OPERATIONS
traced poolctl 100 $OPERATIONS
ok "traced at 100 LVs"
activate 100
hurry vgchange -qan $VG
traced tools 100 activate
settle
hurry poolctl pool export $VG
strace -f -qq -o "$OUT/trace-process-100-activate" bench_ops activate --mark $VG /dev/vda >/dev/null 2>>"$OUT/stderr"
settle
at 1000 2
activate 1000
hurry poolctl pool export $VG
strace -f -qq -o "$OUT/trace-process-1000" bench_ops activate --mark $VG /dev/vda >/dev/null 2>>"$OUT/stderr"
settle
if [ "$UDEV" = noudev ]; then
    # Once, for the curve of a create by the tools.
    at 3000 1 create list destroy
fi
lvm_ok "LVM finds nothing wrong with a pool of many" $VG
hurry poolctl pool destroy $VG

# Ten thousand.  These are not active, for either side: beside as many devices the tools take ten times as long.
truncate -s "$(blockdev --getsize64 /dev/vdc)" "$W/image"
ours inactive 10000 inactive "$W/image" 10000
# Behind the metadata it is empty, as the disk is.
quiet dd if="$W/image" of=/dev/vdc bs=1M count=64 oflag=direct
rm "$W/image"
at 10000 1
strace -f -qq -o "$OUT/trace-process-10000" bench_ops ops --rounds 1 --mark $VG 10000 >/dev/null 2>>"$OUT/stderr"
traced tools 10000 list
lvm_ok "LVM finds nothing wrong with 10 000" $VG
hurry poolctl pool destroy $VG

# As many made and activated by one call, and one more by the tools beside them.  With udevd fewer: it takes longer for
# their events than all the rest does.
MANY=10000 GROW="10 100 1000 3000 10000 30000 100000"
[ "$UDEV" = noudev ] || MANY=1000 GROW="10 100 1000 10000"
good "a pool" pool create $VG /dev/vdd --extent-size $EXTENT --metadata-size 32M
ours many $MANY many $VG $MANY
settle
ok "made $MANY LVs in one commit"
[ "$UDEV" = udev ] || lap beside $MANY create tools_create "$(uuid 1)"

# Metadata alone.
mkdir "$W/grow"
for lvs in $GROW; do
    ours metadata "$lvs" grow "$W/grow" "$lvs"
done
ok "timed metadata alone"
