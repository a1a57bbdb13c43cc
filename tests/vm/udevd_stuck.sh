# on: bookworm-udev trixie-udev
# A udevd that does not answer, and one that is dead: no call waits for ever, and each says what is committed.
. /opt/vm/lib.sh
A=$(uuid 0xa) B=$(uuid 0xb)
udevd() { grep -lx systemd-udevd /proc/[0-9]*/comm | cut -d/ -f3; }
good "a pool" pool create p /dev/vda /dev/vdb /dev/vdc --extent-size 1M

# udevd stands still.
good "a replica" replica create p "$A" 8M
settle
kill -STOP $(udevd)
pc --timeout 4 replica create p "$B" 8M
is "a creation does not wait for udevd for ever" "$RC" 1
that "what is zeroed before its commit is not made" "d['error']['errno'] == 'ETIMEDOUT' and 'committed' not in d['error']['message']"
pc --timeout 4 replica show "$B"
that "nor is it there" "d['error']['kind'] == 'ReplicaNotFound'"
pc --timeout 4 replica create p "$B" 8M --zero none
is "nor does one whose commit comes first" "$RC" 1
that "it says that it is committed" "d['error']['errno'] == 'ETIMEDOUT' and 'committed' in d['error']['message'] and 'udev' in d['error']['message']"
pc --timeout 4 replica show "$B"
that "and it is" "d['active'] and d['size'] == 8 << 20"
pc --timeout 4 replica resize "$A" 12M
is "nor does a resize" "$RC" 1
that "which is committed, too" "d['error']['errno'] == 'ETIMEDOUT' and 'committed' in d['error']['message']"
pc --timeout 4 replica show "$A"
that "and done" "d['active'] and d['size'] == 12 << 20"
runs "with I/O going on" test "$(dmsetup info -c --noheadings -o suspended "$(dmname p "$A")")" = Active
pc --timeout 4 replica destroy "$A"
is "nor a destruction" "$RC" 1
that "which says why" "d['error']['errno'] == 'ETIMEDOUT' and 'udev' in d['error']['message'] and 'committed' not in d['error']['message']"
pc --timeout 4 replica show "$A"
that "and that the replica is there is true" "not d['active']"
kill -CONT $(udevd)
settle
good "what was made is there" replica show "$B"
runs "with its node" test -b "/dev/p/$B"
good "what was not destroyed can be" replica destroy "$A"
good "and the other one" replica destroy "$B"
# It is dead, and its socket is there.
kill -9 $(udevd)
pc --timeout 4 replica create p "$B" 8M --zero none
that "nor does a creation wait for a dead one" "d['error']['errno'] == 'ETIMEDOUT'"
/lib/systemd/systemd-udevd --daemon
udevadm trigger --settle --subsystem-match=block
good "all is well when it is back" replica destroy "$B"
good "the pool goes" pool destroy p
