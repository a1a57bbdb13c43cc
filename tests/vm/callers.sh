# gate: trixie-udev trixie-noudev
# Twenty processes, and one process of twenty threads, make and destroy replicas of one pool: what was answered holds at once.
. /opt/vm/lib.sh
CALLERS=20 ROUNDS=1 THREADS=20 STAY=8
good "a pool" pool create p /dev/vda /dev/vdb --extent-size 1M
good "a replica that stays" replica create p "$(uuid 1)" 4M
# Each makes the same replica again as soon as it was answered that the old one is gone.
caller() { # NUMBER
    local i id; id=$(uuid $((0x100 + $1)))
    for ((i = 0; i < ROUNDS; i++)); do
        poolctl --json --timeout 300 replica create p "$id" 4M || return
        [ -e "/dev/p/$id" ] || { echo "no node of $id"; return 1; }
        poolctl --json --timeout 300 replica destroy "$id" || return
        [ -e "/dev/p/$id" ] && { echo "a node of $id stays"; return 1; }
    done
    # Some make one more that stays: the UUID is free at once.
    [ "$1" -ge $STAY ] || poolctl --json --timeout 300 replica create p "$id" 4M
}
# A list shows each replica before or after a change, with its device.
reader() {
    local rounds=0
    while [ ! -e "$W/over" ]; do
        poolctl --json replica list p >"$W/list" || { cat "$W/list"; return 1; }
        if grep -q '"active":false' "$W/list"; then echo "without a device: $(grep -o '"uuid":"[^"]*"[^}]*"active":false' "$W/list" | cut -c1-60)"; return 1; fi
        ((++rounds))
    done
    echo "$rounds lists"
}
reader >"$OUT/reader" 2>&1 & reader=$!
callers p 1000 $THREADS $ROUNDS >"$OUT/threads" 2>&1 & threads=$!
pids=()
for ((n = 0; n < CALLERS; n++)); do caller $n >"$OUT/caller-$n" 2>&1 & pids+=($!); done
failed=0
for pid in "${pids[@]}"; do wait "$pid" || ((++failed)); done
is "no process was refused, and nothing came late" "$failed $(grep -h -e error -e ' of ' "$OUT"/caller-* | cut -c1-300 | sort -u | head -3)" "0 "
wait $threads
is "no thread was, and no list of theirs showed a change half way" "$? $(cut -c1-300 "$OUT/threads" | head -3)" "0 "
touch "$W/over"
wait $reader; is "no list of another process did" "$? $(grep -v lists "$OUT/reader" | head -3)" "0 "
note "$(cat "$OUT/reader") beside $((CALLERS * ROUNDS + THREADS * ROUNDS)) replicas"
settle
leaks; is "no device, node or cookie stays" "$REPLY" ""
is "the replicas that stay are there, and no other" "$(lvs --noheadings -o lv_name -S 'lv_active=active' p | wc -l)" $((STAY + 1))
lvm_ok "LVM finds it sound" p

# A caller that does not wait for its turn is told who has it, and one that comes when a replica is gone is told so.
exec 9>/run/lock/lvm/V_p
flock 9
bad "whoever waits too long is told" LockTimeout/EBUSY --timeout 1 replica destroy "$(uuid 1)"
flock -u 9
for n in 1 2 3 4; do poolctl --json replica destroy "$(uuid 1)" >"$W/gone-$n" 2>&1 & pids[n]=$!; done
for n in 1 2 3 4; do wait "${pids[n]}"; echo $?; done >"$W/gone"
is "of four that destroy one replica one does" "$(grep -c '^0$' "$W/gone")" 1
is "the others are told that it is gone" "$(cat "$W"/gone-* | grep -c '"ReplicaNotFound"\|"NotFound"')" 3
good "the pool goes" pool destroy p
