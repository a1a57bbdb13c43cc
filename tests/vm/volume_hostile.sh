# gate: bookworm-noudev
# Targets that lie to a volume's publisher, or say nothing: they get no record that is another replica's, and hold no call.
# The disk of a replica is found as this kernel names it, by its multipath or without; host tests have both ways.
. /opt/vm/lib.sh
HOSTNQN=nqn.2019-05.io.openebs:node-name:publisher
name=$(cat /proc/sys/kernel/hostname)
echo publisher >/proc/sys/kernel/hostname
CONFIG=/sys/kernel/config TARGET=/sys/kernel/config/nvmet OWN=10.77.0.1
A=$(uuid 0xa) B=$(uuid 0xb) SMALL=$(uuid 0xc) V=$(uuid 0xf)
nqn() { echo "nqn.2019-05.io.openebs:$1"; }
uri() { echo "--replica nvmf://$OWN:${2:-8420}/$(nqn "$1")?uuid=$1"; }
namespaces() { echo "$TARGET/subsystems/$(nqn "$1")/namespaces"; }
# With these a call ends though a target says nothing.
soon() { bad "$1" "$2" --timeout 6 "${@:3}"; }
connections() { ls /sys/class/nvme; }
empty() { cmp -s -n $((16 << 20)) "$1" /dev/zero; }
in_record() { dd if="$1" bs=4k skip=128 count=8 iflag=direct status=none | tr -d '\0' | wc -c; }
# show UUID NSID AS DEV: another namespace in a replica's subsystem, which claims to be AS.
show() {
    local dir; dir=$(namespaces "$1")/$2
    mkdir "$dir"
    echo "$4" >"$dir/device_path"; echo "$3" >"$dir/device_uuid"; echo "$3" >"$dir/device_nguid"; echo 1 >"$dir/enable"
}
hide() { rmdir "$(namespaces "$1")/$2"; }
claim() { local dir; dir=$(namespaces "$1")/1; echo 0 >"$dir/enable"; echo "$2" >"$dir/device_uuid"; echo 1 >"$dir/enable"; }
share() {
    local replica
    for replica in "$A" "$B" "$SMALL"; do good "a replica is shared" replica share "$replica" --listen $OWN:8420 --allow-host $HOSTNQN; done
}
# One that hears the host's first message, answers that or not, and answers the Connect of so many connections.
cat >"$W/target.py" <<'PY'
import socket, struct, sys, threading
port, hello, admits = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
server = socket.create_server((sys.argv[4], port))
def serve(host, number):
    host.recv(128, socket.MSG_WAITALL)
    if hello == "silent":
        return
    host.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" if hello == "http" else struct.pack("<BBBBIHBBI", 1, 0, 128, 0, 128, 0, 0, 0, 131072) + bytes(112))
    host.recv(72 + 1024, socket.MSG_WAITALL)
    if number < admits:
        host.sendall(struct.pack("<BBBBIQHHHH", 5, 0, 24, 0, 24, 1, 1, 0, 0, 0))
kept = []
while True:
    kept.append(server.accept()[0])
    threading.Thread(target=serve, args=(kept[-1], len(kept) - 1), daemon=True).start()
PY
hostile() { # PORT HELLO ADMITS
    python3 "$W/target.py" "$@" $OWN 2>>"$OUT/target.log" &
    HOSTILE+=($!)
    local port=$1
    await 20 'ss -Hltn | grep -q "$OWN:$port"' || no "a hostile target listens" "$(cat "$OUT/target.log")"
}
HOSTILE=()

good "a pool" pool create p /dev/vda --extent-size 1M
mountpoint -q $CONFIG || { quiet modprobe configfs; quiet mount -t configfs configfs $CONFIG; }
quiet modprobe -a nvme-tcp nvmet nvmet-tcp
quiet ip addr add $OWN/32 dev lo
for replica in "$A" "$B"; do good "a replica" replica create p "$replica" 16M; done
good "a small one" replica create p "$SMALL" 8M
share
both() { echo "$(uri "$B") $(uri "$A")"; }

# The second namespace of one claims to be the other.
show "$B" 2 "$A" /dev/vdb
soon "the namespace of another subsystem is not the replica" Unreachable/EHOSTUNREACH volume create "$V" 8M $(both)
that "and it is named" "'$(nqn "$B")' in d['error']['message'] and '$A' in d['error']['message']"
is "nothing stays connected" "$(connections)" ""
good "the true one is, once it was there first" volume create "$V" 8M $(uri "$A") $(uri "$B")
runs "the other has nothing" empty /dev/vdb
runs "the true one has the record" test "$(in_record "/dev/p/$A")" -gt 100
is "nothing stays connected" "$(connections)" ""
soon "nor is it published" NeedsDegraded/EBUSY volume publish "$V" $(both)
is "nothing stays connected" "$(connections)" ""
hide "$B" 2
quiet dd if=/dev/zero of="/dev/p/$A" bs=1M count=6 oflag=direct conv=notrunc
quiet dd if=/dev/zero of="/dev/p/$B" bs=1M count=6 oflag=direct conv=notrunc

# At another namespace than the first, and not at all.
claim "$A" "$(uuid 0x77)"
soon "a wrong uuid" Unreachable/EHOSTUNREACH volume create "$V" 8M $(uri "$A")
show "$A" 2 "$A" /dev/vdb
soon "the uuid at another namespace" Unreachable/EHOSTUNREACH volume create "$V" 8M $(uri "$A")
that "is said" "'namespace' in d['error']['message']"
hide "$A" 2
claim "$A" "$A"
soon "a size that is too small" ReplicaMismatch/EINVAL volume create "$V" 8M $(uri "$SMALL")
is "nothing stays connected" "$(connections)" ""

quiet dd if=/dev/urandom of="/dev/p/$A" bs=512K seek=1 count=1 oflag=direct conv=notrunc
soon "a record that is none" ReplicaMismatch/EINVAL volume create "$V" 8M $(both)
bad "nor is it served" VolumeNotFound/ENOENT volume publish "$V" $(uri "$A")
bad "a host that is not admitted" Unreachable/EHOSTUNREACH volume create "$V" 8M "$(uri "$B" | sed 's/$/\&hostnqn=nqn.2019-05.io:other/' | cut -d' ' -f2 | sed 's/^/--replica=/')"
that "is said" "'does not admit the host nqn.2019-05.io:other' in d['error']['message']"

hostile 8501 silent 0; hostile 8502 hello 0; hostile 8503 http 0; hostile 8504 hello 1
for port in 8501 8502; do
    before=$SECONDS
    soon "a target that says nothing, at $port" Unreachable/EHOSTUNREACH volume create "$V" 8M $(uri "$B") $(uri "$A" $port)
    that "is told" "'does not answer' in d['error']['message'] and '$port' in d['error']['message']"
    runs "and holds nobody" test $((SECONDS - before)) -lt $((30 * SLOWER))
done
soon "a target of something else" Unreachable/EHOSTUNREACH volume create "$V" 8M $(uri "$A" 8503)
is "nothing stays connected" "$(connections)" ""
# The last: the kernel makes no other connection for a minute.
poolctl --json --timeout 6 volume create "$V" 8M $(uri "$A" 8504) >"$W/late" 2>&1 &
await 40 test -s "$W/late"
that "a target that says nothing to the kernel holds no call" "d['error']['kind'] == 'Unreachable' and 'in time' in d['error']['message']" "$W/late"
kill "${HOSTILE[@]}"
echo "$name" >/proc/sys/kernel/hostname
good "the pool goes" pool destroy p
