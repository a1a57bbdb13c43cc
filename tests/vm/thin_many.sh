# gate: no
# memory: 3072
# Long: named, or by `cargo xtask vm all`.  A thousand snapshots of one replica, a thousand thin replicas, and a chain of a hundred clones.
. /opt/vm/lib.sh
POOL=mayastor-thinpool
loops 1 1500
good "a pool" pool create p "${LOOPS[0]}" --extent-size 1M
good "a thin pool made for many" thin create p 256M --snapshots 2200
runs "a thousand thin replicas and snapshots" bench_ops thin p 1000 1000 --rounds 1
good "the pool counts them" pool show p
that "what is committed are the replicas" "d['committed'] == 1000 * (64 << 20)"
good "a thousand replicas are listed" replica list p
that "all thin" "len(d) == 1000 and all(r['thin'] and r['active'] for r in d)"
good "a thousand snapshots are listed" snapshot list
that "all of one replica" "len(d) == 1000 and len({s['source_uuid'] for s in d}) == 1 and all(s['valid'] and s['allocated'] == 0 for s in d)"
is "LVM counts the same" "$(lvs --noheadings -S segtype=thin p 2>/dev/null | wc -l)" 2000
runs "a chain of a hundred clones" bench_ops chain p 100
lvm_ok "LVM finds the VG sound" p
good "all goes" pool destroy p
ask leaks; is "nothing is left over" "$REPLY" ""
losetup -d "${LOOPS[0]}"
