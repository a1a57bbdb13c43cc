# gate: no
# Random operations on a pool, LVM's own tools among them, and all is as a model says: `cargo xtask soak vm SEED MINUTES`.
. /opt/vm/lib.sh
SEED=1 MINUTES=2
[ ! -f /opt/vm/soak ] || read -r SEED MINUTES </opt/vm/soak
quiet modprobe -a dm-raid raid1 dm-thin-pool
soak kernel "$SEED" $((MINUTES * 60)) $DISKS >"$OUT/soak.log" 2>&1
is "seed $SEED: $MINUTES minutes of random operations" "$?: $(grep -v '^seed [0-9]*$' "$OUT/soak.log" | head -c 600)" \
    "0: $(tail -n 1 "$OUT/soak.log")"
note "$(tail -n 1 "$OUT/soak.log" | head -c 600)"
lvm_ok "LVM finds nothing wrong" soak
