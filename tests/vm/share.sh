# gate: bookworm-noudev trixie-udev trixie-noudev
# Replicas shared over NVMe/TCP with hosts that are this machine itself: who reaches what, and what becomes of those who do not any more.
. /opt/vm/lib.sh
CONFIG=/sys/kernel/config TARGET=/sys/kernel/config/nvmet OWN=10.77.0.1 OTHER=10.77.0.2
A=$(uuid 0xa) B=$(uuid 0xb) C=$(uuid 0xc) S=$(uuid 0x5)
HOST=nqn.2014-08.org.nvmexpress:uuid:$(uuid 0x100) SECOND=nqn.2019-05.io.openebs:node-name:second
nqn() { echo "nqn.2019-05.io.openebs:$1"; }
subsystem() { echo "$TARGET/subsystems/$(nqn "$1")"; }
left() { ls "$TARGET/hosts" "$TARGET/ports" "$TARGET/subsystems" | grep -v ":$" | tr -d '\n'; }
hold() { exec 9<"$1"; }
release() { exec 9<&-; settle; }

# connect UUID HOST ADDRESS: as a host without a tool does.  Sets CTRL; empty if it was refused.
connect() {
    local answer id; id=$(uuid "0x$(cksum <<<"$2" | cut -c 1-6)")
    exec 7<>/dev/nvme-fabrics
    CTRL=
    if printf %s "transport=tcp,traddr=$3,trsvcid=8420,nqn=$(nqn "$1"),hostnqn=$2,hostid=$id,reconnect_delay=1,ctrl_loss_tmo=30,fast_io_fail_tmo=1,keep_alive_tmo=5" >&7 2>>"$OUT/connect.log"; then
        read -r answer <&7
        answer=${answer#instance=}
        CTRL=nvme${answer%%,*}
    fi
    exec 7<&-
}
# disk CTRL: the disk behind a controller, as soon as it is there.  Controllers of one subsystem are paths to one disk here.
disk() {
    local i name head
    DISK=
    for i in {1..100}; do
        for name in /sys/class/nvme/"$1"/nvme*n*; do
            head=$(sed 's/c[0-9]*n/n/' <<<"${name##*/}")
            [ -b "/dev/$head" ] && [ "$(cat "/sys/class/block/$head/size" 2>/dev/null || echo 0)" != 0 ] && DISK=/dev/$head && return
        done
        sleep 0.1
    done
}
# I/O by one controller alone.
through() { timeout 20 nvme "$1" "/dev/$2" --namespace-id=1 --start-block=0 --block-count=7 --data-size=4096 --data="$W/block"; }
gone() { [ ! -e "/sys/class/nvme/$1" ] || echo 1 >"/sys/class/nvme/$1/delete_controller"; settle; } 2>>"$OUT/connect.log"
attach() { # NAME UUID HOST ADDRESS: a host that connects and finds its disk
    connect "$2" "$3" "$4"
    disk "$CTRL"
    runs "$1 connects" test -n "$CTRL" -a -b "$DISK"
}
refused() { connect "$2" "$3" "$4"; is "$1" "$CTRL" ""; [ -z "$CTRL" ] || gone "$CTRL"; }
sectors() { cat "/sys/class/block/${1##*/}/size"; }
until_size() { local disk=$1 size=$2; await 10 '[ "$(sectors "$disk")" = "$size" ]'; }
reads() { timeout 20 dd if="$1" of=/dev/null bs=4096 count=1 iflag=direct status=none; }

good "a pool" pool create p /dev/vda /dev/vdb --extent-size 1M
good "a replica" replica create p "$A" 16M
that "that is not shared" "d['share'] == {'protocol': 'off', 'uri': None, 'allowed_hosts': []}"
if mountpoint -q $CONFIG; then umount $CONFIG; fi
bad "nothing is shared without configfs" NoConfigfs/ENOTSUP replica share "$A"
quiet modprobe configfs
quiet mount -t configfs configfs $CONFIG
[ -d $TARGET ] || bad "nor without the target" NoNvmeTarget/ENOTSUP replica share "$A"
quiet modprobe -a nvmet nvme-tcp
quiet ip addr add $OWN/32 dev lo
quiet ip addr add $OTHER/32 dev lo

# Bad input.
bad "no host's name" InvalidArgument/EINVAL replica share "$A" --allow-host worker-1
bad "no host's name, with a comma" InvalidArgument/EINVAL replica share "$A" --allow-host "$HOST,$SECOND"
bad "no address" InvalidArgument/EINVAL replica share "$A" --listen here
bad "no port" InvalidArgument/EINVAL replica share "$A" --listen $OWN
bad "port 0" InvalidArgument/EINVAL replica share "$A" --listen $OWN:0
bad "every address" InvalidArgument/EINVAL replica share "$A" --listen 0.0.0.0:8420
bad "another host's address" AddressNotLocal/EADDRNOTAVAIL replica share "$A" --listen 203.0.113.77:8420
bad "a replica that is none" ReplicaNotFound/ENOENT replica share "$B"
bad "unsharing one that is none" ReplicaNotFound/ENOENT replica unshare "$B"
python3 -c "import socket, time; s = socket.create_server(('$OWN', 8420)); time.sleep(600)" & squatter=$!
await 20 'ss -Hltn | grep -q "$OWN:8420"'
bad "an address where another program listens" AddressInUse/EADDRINUSE replica share "$A" --listen $OWN:8420
kill $squatter; wait $squatter 2>/dev/null
mkdir -p /mnt/a && quiet mkfs.ext4 -q "/dev/p/$A" && quiet mount -o ro "/dev/p/$A" /mnt/a
bad "a replica that is mounted" Busy/EBUSY replica share "$A"
quiet umount /mnt/a
settle
good "a replica is deactivated" replica deactivate "$A"
bad "one that is not active" NotActive/EBUSY replica share "$A"
good "it is activated" replica activate "$A"
is "nothing came into the target" "$(left)" ""

# One host, by the raw interface.
good "it is shared" replica share "$A" --listen $OWN:8420 --allow-host "$HOST"
that "as it says" "d['share'] == {'protocol': 'nvmf', 'uri': 'nvmf://$OWN:8420/$(nqn "$A")?uuid=$A', 'allowed_hosts': ['$HOST']}"
good "the pool is listed" pool show p
that "it is well" "d['state'] == 'online' and d['reasons'] == []"
seqno=$(q "d['seqno']")
good "it is shared again" replica share "$A" --allow-host "$HOST"
good "the pool is as before" pool show p
that "without a commit" "d['seqno'] == $seqno"
lvm_ok "LVM finds it sound" p
is "LVM sees the tags" "$(field lvs lv_tags "p/$A" | tr ',' '\n' | grep -c "share=nvmf\|allowed_hosts=$HOST\|listen=$OWN:8420")" 3
attach "the host that may" "$A" "$HOST" $OWN
first=$CTRL first_disk=$DISK
refused "a host that may not is refused" "$A" "$SECOND" $OWN
is "the disk is known by the replica's uuid" "$(cat "/sys/class/block/${first_disk##*/}/uuid")" "$A"
is "and by nothing else" "$(cat "/sys/class/block/${first_disk##*/}/wwid")" "uuid.$A"
is "the serial number" "$(tr -d ' ' <"/sys/class/nvme/$first/serial")" "$(python3 -c "import hashlib, uuid; print('DCS' + hashlib.sha256(uuid.UUID('$A').bytes).hexdigest()[:17].upper())")"
is "the model" "$(sed 's/ *$//' "/sys/class/nvme/$first/model")" "Mayastor NVMe controller"
runs "nvme-cli identifies it" nvme id-ns "$first_disk"
is "its nguid" "$(nvme id-ns "$first_disk" | sed -n 's/^nguid *: *//p')" "$(hex "$A")"
is "its size" "$(sectors "$first_disk")" 32768
fill "$first_disk" fabric 16
is "what the host writes is in the replica" "$(sum "/dev/p/$A" 16)" "$(sum "$first_disk" 16)"

# More hosts, fewer hosts.
dd if=/dev/zero of="$first_disk" bs=1M count=2 oflag=direct status=none
stamps "$first_disk" 512 "$W/seq"
good "another host is added" replica share "$A" --allow-host "$HOST" --allow-host "$SECOND"
attach "it" "$A" "$SECOND" $OWN
second=$CTRL
dd if=/dev/zero of="$W/block" bs=4096 count=1 status=none
runs "the one reads" through read "$first"
runs "and so does the other" through read "$second"
stamps_end "the first host"
stamps_held "each of its writes is there" "/dev/p/$A" 512 "$W/seq"
good "the second is shut out" replica share "$A" --allow-host "$HOST"
before=$(sum "/dev/p/$A" 16)
fails "its writes fail" through write "$second"
gone "$second"
refused "it cannot come back" "$A" "$SECOND" $OWN
is "nothing of it came in" "$(sum "/dev/p/$A" 16)" "$before"
await 30 'disk "$first"; [ "$(cat "/sys/class/nvme/$first/state")" = live ] && reads "$DISK"'
first_disk=$DISK
runs "the first came back by itself" reads "$first_disk"
is "the host that is gone is gone from the target" "$(ls $TARGET/hosts)" "$HOST"
good "any host may connect" replica share "$A"
that "so it says" "d['share']['allowed_hosts'] == []"
runs "the first is not disturbed" reads "$first_disk"
attach "any host" "$A" "$SECOND" $OWN
gone "$CTRL"
good "one host alone again" replica share "$A" --allow-host "$HOST"
refused "any host is one too many" "$A" "$SECOND" $OWN

# Sizes.
await 30 'disk "$first"; [ "$(cat "/sys/class/nvme/$first/state")" = live ] && reads "$DISK"'
first_disk=$DISK
good "it grows" replica resize "$A" 24M
runs "the host sees that" until_size "$first_disk" 49152
quiet lvextend -q -L 32M "p/$A"
good "the pool is opened after the tools grew it" replica set "$A" --entity-id e1
runs "the host sees that, too" until_size "$first_disk" 65536

# In use.
hold "/dev/p/$A"
bad "a replica that is open here is not deactivated" Busy/EBUSY replica deactivate "$A"
bad "nor destroyed" Busy/EBUSY replica destroy "$A"
bad "nor its pool exported" Busy/EBUSY pool export p
bad "nor its pool destroyed" Busy/EBUSY pool destroy p
runs "and the host was not disturbed" reads "$first_disk"
release
good "it is deactivated while a host uses it" replica deactivate "$A"
that "and is to be shared" "d['share']['protocol'] == 'nvmf' and d['share']['uri'] is None and not d['active']"
is "nothing is left in the target" "$(left)" ""
fails "the host loses it" reads "$first_disk"
good "it is activated" replica activate "$A"
that "and shared" "d['share']['uri'] == 'nvmf://$OWN:8420/$(nqn "$A")?uuid=$A'"
gone "$first"

# Two addresses, and more kinds of replicas.
good "a thin pool" thin create p 32M
good "a thin replica" replica create p "$B" 16M --thin
good "a copy of one" replica create p "$C" 16M --layout raid1:2
in_sync p "$C"
good "the thin one is shared elsewhere" replica share "$B" --listen $OTHER:8420
good "the array at the first address" replica share "$C" --listen $OWN:8420
is "there is a port for each address" "$(ls $TARGET/ports | wc -l)" 2
good "they are listed" replica list p
that "each where it is" "[r['share']['uri'].split('/')[2] for r in sorted(d, key=lambda r: r['uuid'])] == ['$OWN:8420', '$OTHER:8420', '$OWN:8420']"
for replica in "$B $OTHER" "$C $OWN"; do
    attach "a host" ${replica% *} "$SECOND" ${replica#* }
    fill "$DISK" more 8
    is "what it writes is there" "$(sum "/dev/p/${replica% *}" 8)" "$(sum "$DISK" 8)"
    gone "$CTRL"
done
refused "nobody reaches it at the other address" "$B" "$SECOND" $OWN
good "the thin one moves" replica share "$B" --listen $OWN:8420
is "the port went with its last replica" "$(ls $TARGET/ports | wc -l)" 1
attach "a host that follows" "$B" "$SECOND" $OWN
is "finds the data" "$(sum "$DISK" 8)" "$(sum "/dev/p/$B" 8)"
gone "$CTRL"
good "a snapshot" snapshot create "$B" "$S" --name s --txn t --entity-id e
good "the array rests: it would write when it likes" replica deactivate "$C"
bad "a snapshot is not shared" ReplicaNotFound/ENOENT replica share "$S"
good "it is up again" replica activate "$C"
good "a clone" clone create "$S" "$(uuid 0xd)" --name d
that "that is not shared" "d['share']['protocol'] == 'off'"
good "it is" replica share "$(uuid 0xd)"
that "at this host's own address" "d['share']['uri'].startswith('nvmf://127.0.0.1:8420/')"
good "it goes while it is shared" replica destroy "$(uuid 0xd)"
good "a share on its own address alone" replica share "$B" --listen '[::1]:8420'
that "in brackets" "'nvmf://[::1]:8420/' in d['share']['uri']"
good "it is ended" replica unshare "$B"
that "and told" "d['share'] == {'protocol': 'off', 'uri': None, 'allowed_hosts': []}"
good "unsharing what is not shared" replica unshare "$B"
good "it is shared again where it was" replica share "$B"
that "there" "'nvmf://[::1]:8420/' in d['share']['uri']"

# The target forgets, and is told again.
good "the pool is exported while a host uses it" pool export p
is "nothing is left of it" "$(left)" ""
good "it is imported" pool import p /dev/vda /dev/vdb
good "it is listed" replica list p
that "all are shared again" "len(d) == 3 and all(r['share']['uri'] for r in d)"
forget() { # as the machine's start does
    local subsystem
    rm $TARGET/ports/*/subsystems/*
    for subsystem in $TARGET/subsystems/*; do
        echo 0 >"$subsystem/namespaces/1/enable"; rmdir "$subsystem/namespaces/1"
        rm -f "$subsystem"/allowed_hosts/*; rmdir "$subsystem"
    done
    rmdir $TARGET/ports/* $TARGET/hosts/*
}
forget
good "the pool is listed" pool show p
that "with what is wrong" "len(d['reasons']) == 3 and all('not shared' in r for r in d['reasons']) and d['state'] == 'online'"
good "the replicas are listed" replica list p
that "and none is reached" "not any(r['share']['uri'] for r in d)"
good "it is imported again" pool import p /dev/vda /dev/vdb
good "and listed" pool show p
that "all is well" "d['reasons'] == []"
attach "the host that may" "$A" "$HOST" $OWN
reader=$CTRL
ip addr del $OWN/32 dev lo
quiet poolctl replica unshare "$B"
forget
good "an address that this host lost stops no import" pool import p /dev/vda /dev/vdb
good "the pool says why" pool show p
that "for both" "len(d['reasons']) == 2 and all('no address $OWN' in r for r in d['reasons'])"
quiet ip addr add $OWN/32 dev lo
good "any change mends that" replica set "$B" --entity-id e2
good "the replicas are listed again" replica list p
that "as the tags say" "sorted(bool(r['share']['uri']) for r in d) == [False, True, True]"
quiet rm $TARGET/ports/*/subsystems/"$(nqn "$A")"
good "what somebody took the link from" replica set "$B" --entity-id e3
good "is linked" replica show "$A"
that "again" "d['share']['uri']"
gone "$reader"
attach "a host" "$A" "$HOST" $OWN
good "it is unshared while it is connected" replica unshare "$A"
fails "the host loses it at once" reads "$DISK"
gone "$CTRL"
good "it is shared with any host" replica share "$A"
attach "a host" "$A" "$HOST" $OWN
good "it is destroyed while it is connected" replica destroy "$A"
gone "$CTRL"

# Two processes at once, each with a pool of its own.
E=$(uuid 0xe)
good "another pool" pool create q /dev/vdc
good "with a replica" replica create q "$E" 8M
both() { # ARGS...: for a replica of each pool; counts failures
    local failed=0 first second
    poolctl replica "$1" "$B" "${@:2}" >>"$OUT/quiet.log" 2>&1 & first=$!
    poolctl replica "$1" "$E" "${@:2}" >>"$OUT/quiet.log" 2>&1 & second=$!
    wait $first || failed=$((failed + 1))
    wait $second || failed=$((failed + 1))
    [ $failed = 0 ]
}
for round in 1 2 3; do
    runs "both are shared at once, round $round" both share --listen $OTHER:8420 --allow-host "$HOST"
    is "at one port" "$(ls $TARGET/ports/*/subsystems | grep -c "$B\|$E") of $(ls $TARGET/ports | wc -l)" "2 of 2"
    runs "and unshared at once" both unshare
    is "and the port is gone" "$(ls $TARGET/ports | wc -l) $(ls $TARGET/hosts)" "1 "
done
good "the other pool goes" pool destroy q

# An array.
R=$(uuid 0xab)
good "an array" replica create p "$R" 8M --layout raid1:2
good "is shared" replica share "$R" --listen $OWN:8420 --allow-host "$HOST"
attach "a host" "$R" "$HOST" $OWN
fill "$DISK" array 8
is "what it writes is the array's" "$(sum "/dev/p/$R" 8)" "$(sum "$DISK" 8)"
good "the array grows" replica resize "$R" 16M
runs "the host sees it" until_size "$DISK" $((16 << 11))
gone "$CTRL"
good "it is destroyed while it is shared" replica destroy "$R"
lvm_ok "LVM finds it sound at the end" p
good "the pool goes" pool destroy p
is "the target is as it was" "$(left)" ""
ask leaks; is "nothing is left over" "$REPLY" ""
quiet ip addr del $OWN/32 dev lo
quiet ip addr del $OTHER/32 dev lo
