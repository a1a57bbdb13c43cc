# gate: bookworm-noudev trixie-noudev
# The cluster itself: what the scenarios beside this one rely on, with the real tools and the kernel's NVMe over TCP alone.
. /opt/vm/lib.sh
. /opt/vm/cluster.sh
note "kernel $(uname -r), $UDEV"
now() { date +%s%N; }
since() { echo $((($(now) - $1) / 1000000)); } # NANOSECONDS: in milliseconds

# Orders.
is "a node's output comes back" "$(on 1 'echo $NODE; echo to stderr >&2')" $'1\nto stderr'
on 2 'exit 7'
is "its status does" "$?" 7
LIMIT=1 on 1 'sleep 50'
is "a command has a deadline" "$?" 124
is "a node has its own disks" "$(on 1 'lsblk -dnbo SIZE /dev/vda; cat /sys/block/vda/serial')" $'268435456\ndisk-a'
is "a node has the words of scenarios, whose results count" "$(on 2 '. /opt/vm/lib.sh; is "as here" 1 1')" "ok as here"
runs "a node has the programs" on 1 poolctl --help
runs "delays, the sockets' states and NVMe's own tool are to be had" \
    on 2 'tc qdisc add dev net1 root netem delay 1ms && tc qdisc del dev net1 root && ss -Htn && nvme list'

# Links.  A port that nobody listens on answers with a reset, if anything does.
reach() { timeout 3 bash -c ": <>/dev/tcp/10.0.1.$1/9" 2>&1 | grep -q refused; }
reach_from() { on "$1" "$(declare -f reach); reach $2"; }
runs "node 1 reaches node 2" reach_from 1 2
runs "node 2 reaches node 1" reach_from 2 1
runs "node 1 is reached" reach 1
runs "node 2 is reached" reach 2
cut_link 1
fails "a cut link is silent towards the node" reach 1
fails "a cut link is silent from the node" reach_from 1 2
is "the carrier stays" "$(on 1 cat /sys/class/net/net1/carrier)" 1
runs "the others still reach each other" reach 2
mend_link 1
runs "a mended link is there again" await 5 reach 1

# NVMe over TCP by hand.
NQN=nqn.2026-01.test:disk
on 1 "cd /sys/kernel/config/nvmet && mkdir subsystems/$NQN ports/1 && cd subsystems/$NQN && echo 1 >attr_allow_any_host &&
    mkdir namespaces/1 && echo /dev/vda >namespaces/1/device_path && echo 1 >namespaces/1/enable && cd ../../ports/1 &&
    echo tcp >addr_trtype && echo ipv4 >addr_adrfam && echo 10.0.1.1 >addr_traddr && echo 4420 >addr_trsvcid &&
    ln -s ../../subsystems/$NQN subsystems/$NQN" || no "node 1 shares a disk" "it cannot"
# A host of our own name needs an id of its own: kernel 6.12 refuses two names of one id.
connect() {
    exec 7<>/dev/nvme-fabrics || return
    printf %s "transport=tcp,traddr=10.0.1.1,trsvcid=4420,nqn=$NQN,hostnqn=nqn.2026-01.test:host,hostid=$(uuid 3),$1" >&7 || return
    read -r said <&7
    exec 7>&-
    note "connected: $said"
}
runs "node 3 connects" connect reconnect_delay=1,ctrl_loss_tmo=600,fast_io_fail_tmo=1,keep_alive_tmo=1
runs "the disk is there" await 5 test -b /dev/nvme0n1
start=$(now)
fill /dev/nvme0n1 seed 16
note "16 MiB written in $(since $start) ms"
is "node 1's disk holds what was written" "$(on 1 '. /opt/vm/lib.sh; sum /dev/vda 16')" "$(sum /dev/nvme0n1 16)"
quiet blkdiscard -z -l 1M /dev/nvme0n1
timeout 60 python3 /opt/vm/stamp.py write /dev/nvme0n1 256 "$W/seq" 2>"$W/writer" & WRITER=$!
await 20 test -s "$W/seq"
cut_link 1
start=$(now)
wait $WRITER
is "a writer over a cut link meets an error" "$?: $(tail -n 1 "$W/writer")" "1: OSError: [Errno 5] Input/output error"
took=$(since $start)
note "a write failed $took ms after the cut"
[ "$took" -ge 1000 ] && [ "$took" -le $((12000 * SLOWER)) ]
is "it fails when it is to" "$?" 0
mend_link 1
live() { [ "$(cat /sys/class/nvme/nvme0/state)" = live ]; }
runs "the connection comes back" await 15 live
runs "what was acknowledged is there" python3 /opt/vm/stamp.py check /dev/nvme0n1 256 "$W/seq"
runs "writes go on" python3 /opt/vm/stamp.py write /dev/nvme0n1 256 "$W/seq" 300
[ "$(python3 /opt/vm/stamp.py stall "$W/seq")" -lt $((1000000 * SLOWER)) ]
is "without a pause" "$?" 0
echo 1 >/sys/class/nvme/nvme0/delete_controller

# Power.
sum=$(on 1 '. /opt/vm/lib.sh; sum /dev/vda 16')
on 2 'mkfs.ext4 -q /dev/vdb && mount /dev/vdb /mnt && echo kept >/mnt/kept && sync && echo lost >/mnt/lost &&
    dd if=/dev/urandom of=/dev/vdc bs=4k count=1 oflag=direct && cksum </dev/vdc >/mnt/cksum' >/dev/null
before=$(on 2 'head -c 4096 /dev/vdc | cksum')
power_off 1
power_cut 2
start=$(now)
on 2 true >/dev/null
is "a node is gone at once" "$?" 255
await_node 2
note "a node is back $(since $start) ms after it lost its power"
on 2 'mount /dev/vdb /mnt'
is "what was synced is there" "$(on 2 cat /mnt/kept)" kept
fails "what was not synced is lost" on 2 test -s /mnt/lost
is "what a disk acknowledged is there" "$(on 2 'head -c 4096 /dev/vdc | cksum')" "$before"
is "a node's kernel starts anew" "$(on 2 'ls /sys/kernel/config/nvmet/subsystems; echo $BOOT')" 2
fails "a node that is off does not answer" on 1 true
power_on 1
await_node 1
runs "it is reached on the network for data" await 5 reach 1
is "a node that was off has its disks" "$(on 1 '. /opt/vm/lib.sh; sum /dev/vda 16')" "$sum"
