# The host layer's own tests that want root, loop devices and the real tools, and every call of the mappers.
. /opt/vm/lib.sh
# ran NAME CMD...: the lines of a program that tells `test NAME ... ok` or `ok NAME` for each of its checks.
ran() {
    local name=$1; shift
    "$@" >"$W/told" 2>&1
    local status=$?
    cat "$W/told"
    sed -nE 's/^test ([^ ]+) .*\.\.\. ok$/ok \1/p; s/^(ok .*)$/\1/p; s/^test ([^ ]+) .*\.\.\. FAILED$/not ok \1/p; s/^(not ok .*)$/\1/p' "$W/told" >&5
    is "$name succeeds" $status 0
}
ran "the host layer" host_tests --ignored --test-threads=1
settle
ran "the kernel's mapper" mapper_selftest --mapper kernel /dev/vde /dev/vdf
# It waits for udevd after each of its calls, which takes minutes here.
[ "$UDEV" = udev ] || ran "the devicemapper crate's mapper" mapper_selftest --mapper stratis /dev/vde /dev/vdf
ask leaks
is "nothing is left over" "$REPLY" ""
