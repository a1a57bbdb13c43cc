# gate: bookworm-noudev
# Thin pools whose metadata fail, break or are full: what is told, what is refused, what is kept, and how they come back.
. /opt/vm/lib.sh
A=$(uuid 0xa) B=$(uuid 0xb) C=$(uuid 0xc) S=$(uuid 0x51) T=$(uuid 0x52)
POOL=mayastor-thinpool
# The VG that is looked at, and the devices of its thin pool.
of() { VG=$1 TPOOL=$1-${POOL/-/--}-tpool TMETA=$1-${POOL/-/--}_tmeta; }
# The Nth word of what the kernel says of the pool: 5 metadata, 6 data, 8 its mode, 11 whether it needs a check.
says() { dmsetup status --noflush "$TPOOL" | cut -d' ' -f"$1"; }
stamp() { timeout 30 python3 /opt/vm/stamp.py "$@"; }
# Puts another table under the pool's metadata: one that fails writes, one that fails all, the one that they had.
swap() { quiet dmsetup suspend --noflush --nolockfs "$TMETA"; quiet dmsetup load "$TMETA" --table "$1"; quiet dmsetup resume "$TMETA"; settle; }
refuse_writes() { sound=$(dmsetup table "$TMETA"); swap "$(awk '{print $1, $2, "flakey", $4, $5, 0, 60, 1, "error_writes"}' <<<"$sound")"; }
refuse_all() { sound=$(dmsetup table "$TMETA"); swap "$(awk '{print $1, $2, "error"}' <<<"$sound")"; }
# Makes thin devices that no LV has, for the metadata that they take; tells how many.
crowd() { # FIRST COUNT
    python3 - "$TPOOL" "$1" "$2" <<'PY'
import fcntl, struct, sys
name, first, count = sys.argv[1].encode(), int(sys.argv[2]), int(sys.argv[3])
with open("/dev/mapper/control", "rb") as control:
    for number in range(count):
        message = struct.pack("=Q", 0) + b"create_thin %d\0" % (first + number)
        head = struct.pack("=3IIIIiIIIQ128s129s7s", 4, 0, 0, 312 + len(message), 312, 0, 0, 0, 0, 0, 0, name, b"", b"")
        try:
            fcntl.ioctl(control, 0xC138FD0E, bytearray(head + message))
        except OSError as error:
            sys.exit(f"{number} devices, then {error.strerror}")
PY
} 2>&1
# Writes with a sync each until one fails.
breaks() { # NAME DEV SEQFILE
    local said; said=$(stamp sync "$2" 4096 "$3" 2>&1)
    is "$1: the writer is told, and does not hang" "$(grep -oE 'Input/output error|No space left on device' <<<"$said")" "Input/output error"
}
# What every operation says of a pool in a state that takes no change.
told() { # WORD POOL-STATE HEALTH-BY-LVM
    local word=$1 state=$2 health=$3
    note "$word: $(dmsetup status --noflush "$TPOOL"); lvs: $(lvs --noheadings -o lv_attr,lv_health_status,lv_check_needed "$VG/$POOL" 2>&1 | tr '\n' '|')"
    good "$word: the pool is shown" pool show $VG
    that "$word: as it is" "d['state'] == '$state' and d['thin_pool']['state'] == '$word' and any('$word' in r for r in d['reasons'])"
    good "$word: pools are listed" pool list
    that "$word: this one as it is" "[p['state'] for p in d if p['name'] == '$VG'] == ['$state']"
    good "$word: the thin pool is asked" thin status $VG
    that "$word: it says so" "d['state'] == '$word'"
    good "$word: a replica is shown" replica show "$A"
    that "$word: with the pool's health" "d['health']['state'] == '$state'"
    good "$word: a snapshot is shown" snapshot show "$S"
    bad "$word: no replica is made" ThinPoolState/EBUSY replica create $VG "$C" 8M --thin
    bad "$word: no snapshot" ThinPoolState/EBUSY snapshot create "$A" "$T" --name n/2 --txn 2 --entity-id e
    bad "$word: no clone" ThinPoolState/EBUSY clone create "$S" "$C" --name c
    bad "$word: no snapshot goes" ThinPoolState/EBUSY snapshot destroy "$S"
    bad "$word: no replica goes" ThinPoolState/EBUSY replica destroy "$B"
    bad "$word: the data do not grow" ThinPoolState/EBUSY thin extend $VG --data 40M
    is "$word: LVM has the same opinion" "$(field lvs lv_health_status "$VG/$POOL")" "$health"
}
# The monitor tells of a pool in such a state, and does nothing.
left_alone() { # WORD
    local seqno; seqno=$(field vgs vg_seqno "$VG")
    poolctl --json thin monitor "$VG" --once --threshold 1 >"$W/once" 2>&1
    head -1 "$W/once" >"$O"
    that "$1: the monitor says so" "d == {'action': 'state', 'state': '$1'}"
    is "$1: and leaves the pool alone" "$(field vgs vg_seqno "$VG")" "$seqno"
}
# A pool with a replica that is written with a sync each, another with data, and a snapshot.
begin() { # VG DISK DATA METADATA
    of "$1"
    good "$1: a pool" pool create "$1" "$2" --extent-size 1M
    good "$1: whose writes fail when it is full" thin create "$1" "$3" --metadata-size "$4" --error-if-no-space
    good "$1: a replica" replica create "$1" "$A" 64M --thin
    good "$1: another" replica create "$1" "$B" 8M --thin
    fill "/dev/$1/$B" two 2
    two=$(sum "/dev/$1/$B" 2)
    runs "$1: a writer that syncs" stamp sync "/dev/$1/$A" 4096 "$W/$1" 40
    good "$1: a snapshot" snapshot create "$A" "$S" --name n/1 --txn 1 --entity-id e
}
again() { # NAME: it serves as before.
    good "$1: the pool is well" pool show $VG
    that "$1: by its own word" "d['state'] == 'online' and d['thin_pool']['state'] == 'online'"
    runs "$1: what was acknowledged is there" stamp check "/dev/$VG/$A" 4096 "$W/$VG"
    is "$1: so is the other replica" "$(sum "/dev/$VG/$B" 2)" "$two"
    runs "$1: writers go on" stamp sync "/dev/$VG/$A" 4096 "$W/$VG" 20
    good "$1: a snapshot" snapshot create "$A" "$T" --name n/2 --txn 2 --entity-id e
    good "$1: goes" snapshot destroy "$T"
    lvm_ok "$1: LVM finds the VG sound" $VG
}

# Metadata that take no writes.
begin n /dev/vda 32M 2M
refuse_writes
breaks "needs_check" "/dev/n/$A" "$W/n"
swap "$sound"
told needs_check degraded metadata_read_only
bad "needs_check: the metadata do not grow" ThinPoolState/EBUSY thin extend n --metadata 4M
left_alone needs_check
runs "needs_check: what was acknowledged is there" stamp check "/dev/n/$A" 4096 "$W/n"
quiet vgchange -an n
good "needs_check, inactive: the pool is shown" pool show n
that "needs_check, inactive: it is known all the same" "d['thin_pool']['state'] == 'needs_check' and d['state'] == 'degraded'"
good "needs_check: it is imported" pool import n /dev/vda
good "needs_check: that is no check" pool show n
that "needs_check: and it stays" "d['thin_pool']['state'] == 'needs_check'"
quiet vgchange -an n
runs "LVM repairs" lvconvert --repair -y "n/$POOL"
# The mark goes with a check that is told to take it away, as the default of newer versions of LVM is.
quiet vgchange -ay n --config 'global { thin_check_options = [ "-q", "--clear-needs-check-flag" ] }'
note "repaired: $(dmsetup status --noflush "$TPOOL")"
again "repaired"
good "repaired: LVM's copy of the old metadata is not ours" pool show n
that "repaired: it is told" "d['foreign_lvs'] == ['${POOL}_meta0']"
quiet lvremove -q -y "n/${POOL}_meta0"
good "n goes" pool destroy n

# Metadata that cannot be read either.
begin f /dev/vdb 32M 2M
refuse_all
breaks "failed" "/dev/f/$A" "$W/f"
swap "$sound"
told failed faulted failed
left_alone failed
bad "failed: the metadata do not grow" ThinPoolState/EBUSY thin extend f --metadata 4M
quiet vgchange -an f
good "failed: it is imported" pool import f /dev/vdb
note "after the import: $(dmsetup status --noflush "$TPOOL")"
again "activated again"
good "f goes" pool destroy f

# Metadata that are full.
begin m /dev/vdc 32M 2M
note "full: $(crowd 100000 600)"
breaks "full" "/dev/m/$A" "$W/m"
is "full: the metadata are" "$(says 5)" 512/512
runs "full: what was acknowledged is there" stamp check "/dev/m/$A" 4096 "$W/m"
told read_only degraded metadata_read_only
good "full: the metadata grow" thin extend m --metadata 8M
again "grown"
note "full again: $(crowd 200000 2000)"
breaks "full again" "/dev/m/$A" "$W/m"
poolctl --json thin monitor m --once --threshold 100 >"$W/once" 2>&1
grep extended "$W/once" >"$O"
that "full again: the monitor adds metadata" "d['what'] == 'metadata' and d['from'] == 8 << 20"
again "grown by the monitor"
good "m goes" pool destroy m
is "no device is left" "$(dmsetup ls | grep -c mayastor)" 0
