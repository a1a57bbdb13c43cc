# gate: bookworm-noudev
# Random operations on a pool, LVM's own tools among them, and all is as a model says.
# For longer: `cargo xtask soak vm SEED MINUTES`.
. /opt/vm/lib.sh
CONFIG=/sys/kernel/config
seed=$((16#$SEED)) time=90
if [ -f /opt/vm/soak ]; then
    read -r seed time </opt/vm/soak
    time=$((time * 60))
fi
quiet modprobe -a dm-raid raid1 raid456 dm-thin-pool dm-cache dm-cache-smq
mountpoint -q $CONFIG || { quiet modprobe configfs; quiet mount -t configfs configfs $CONFIG; }
quiet modprobe -a nvme-tcp nvmet nvmet-tcp
# This host reaches volumes' replicas by its name.
name=$(cat /proc/sys/kernel/hostname)
echo publisher >/proc/sys/kernel/hostname
soak kernel "$seed" "$time" $DISKS >"$OUT/soak.log" 2>&1
done=$?
echo "$name" >/proc/sys/kernel/hostname
is "seed $seed: $time seconds of random operations" "$done: $([ $done = 0 ] || grep -v '^seed [0-9]*$' "$OUT/soak.log" | head -c 600)" "0: "
note "$(tail -n 2 "$OUT/soak.log" | head -c 1500 | tr '\n' ' ')"
lvm_ok "LVM finds nothing wrong" soak
