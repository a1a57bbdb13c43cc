# gate: bookworm-noudev trixie-noudev
# What the host stands in the way of: a lock, a lack of rights, a kernel without device-mapper.
. /opt/vm/lib.sh
A=$(uuid 0xa) B=$(uuid 0xb)
good "a pool" pool create p /dev/vda /dev/vdb
good "a replica" replica create p "$A" 16M

hold() { # LOCK: another process holds it; sets HOLDER
    python3 -c "
import fcntl, os, time
fd = os.open('/run/lock/lvm/$1', os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(fd, fcntl.LOCK_EX)
open('$W/held', 'w').close()
time.sleep(1000)" & HOLDER=$!
    until [ -e "$W/held" ]; do sleep 0.1; done
    rm "$W/held"
}
release() { kill $HOLDER; wait $HOLDER 2>/dev/null; }
names_holder() { that "$1: the error names the holder" "re.search(r'\\b$HOLDER\\b', d['error']['message'])"; }
hold V_p
for command in "replica create p $B 4M" "replica resize $A 32M" "replica destroy $A" "replica set $A --name x" "replica deactivate $A" \
    "pool export p" "pool destroy p" "pool grow p" "pool import p /dev/vda /dev/vdb"; do
    bad "the VG's lock is held: $command" LockTimeout/EBUSY --timeout 0.3 $command
    names_holder "$command"
done
good "reading takes no lock" pool show p
good "nor does a list" replica list
release
good "afterwards it works" replica set "$A" --name x
hold P_global
bad "the global lock is held: pool create" LockTimeout/EBUSY --timeout 0.3 pool create q /dev/vdc
names_holder "pool create"
bad "the global lock is held: add-disk" LockTimeout/EBUSY --timeout 0.3 pool add-disk p /dev/vdc
bad "the global lock is held: pool destroy" LockTimeout/EBUSY --timeout 0.3 pool destroy p
good "replicas need it not" replica create p "$B" 4M
release
good "a lock that is released in time" replica destroy "$B"

# LVM waits for our lock as we for theirs.
hold V_p
( sleep 1; kill $HOLDER ) & release=$!
good "a lock that is released while we wait" --timeout 20 replica create p "$B" 4M
wait $release
good "without a lock folder of LVM's" --lock-dir "$W/locks" replica destroy "$B"

# Rights.
nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups -- "$(command -v poolctl)" "$@"; }
refused_nobody() { # NAME ARGS...
    local name=$1 why=; shift
    ask mark "$WATCH"
    RC=0; nobody --json "$@" >"$O" 2>"$E" </dev/null || RC=$?
    [ $RC = 1 ] || why="not exit 1; "
    ask q "$O" "d['error']['kind'] + '/' + d['error']['errno']"
    [[ $REPLY = PermissionDenied/E@(ACCES|PERM) ]] || why+="the error is $REPLY; "
    ask written "$WATCH"; [ -z "$REPLY" ] || why+="$REPLY"
    if [ -z "$why" ]; then ok "$name"; else no "$name" "$why$(said)"; fi
}
shopt -s extglob
refused_nobody "without rights: pool create" pool create q /dev/vdc
refused_nobody "without rights: show" pool show p
refused_nobody "without rights: replica create" replica create p "$B" 4M
refused_nobody "without rights: destroy" pool destroy p

# A lock folder that cannot be written.
mount -t tmpfs -o ro none /run/lock/lvm
pc replica create p "$B" 4M
is "a lock folder that cannot be written is an error" $RC 1
umount /run/lock/lvm

good "the pool goes" pool destroy p
# A kernel without device-mapper: its modules are gone.
good "a pool for a kernel without device-mapper" pool create p /dev/vda /dev/vdb
good "its replica" replica create p "$A" 16M
quiet vgchange -q -an p
cd /usr/lib/modules/*/kernel/drivers/md || exit 1
mkdir "$W/modules"
for module in $(awk '$1 ~ /^dm_/ && $1 != "dm_mod" { print $1 }' /proc/modules); do modprobe -r "$module"; done
quiet modprobe -r dm_mod
mv dm-mod.ko "$W/modules/"
rm -f /dev/mapper/control
bad "no device-mapper: replica create" NoDeviceMapper/ENODEV replica create p "$B" 4M
bad "no device-mapper: activate" NoDeviceMapper/ENODEV replica activate "$A"
bad "no device-mapper: resize" NoDeviceMapper/ENODEV replica resize "$A" 32M
bad "no device-mapper: pool create" NoDeviceMapper/ENODEV pool create q /dev/vdc
good "no device-mapper: the pool is listed" pool list
good "no device-mapper: its replica is listed" replica list p
that "no device-mapper: it is inactive" "not d[0]['active']"
mv "$W/modules/dm-mod.ko" .
quiet modprobe dm_mod
settle
[ -e /dev/mapper/control ] || mknod /dev/mapper/control c 10 "$(awk '$2 == "device-mapper" {print $1}' /proc/misc)"
good "with device-mapper again" replica activate "$A"
good "the pool goes at last" pool destroy p
