# gate: bookworm-noudev
# The tools' whole repertoire on a pool of ours, whose extents begin at 17 MiB, and on a VG of theirs: after each command
# the VG is a good one to us, and a pool is changed by us.
. /opt/vm/lib.sh
A=$(uuid 0xa)
loops 2 1100
P1=${LOOPS[0]} P2=${LOOPS[1]}
WATCH="$DISKS $P1 $P2"
read -r V1 V2 V3 _ <<<"$DISKS"
n=0
# Nothing is wrong with the VGs on these disks; then, where the pool is ours, a change and its like.
sound() { # NAME [pool]
    # Disks without a PV among them are told as such.
    inspect --json --check $WATCH >"$W/json" 2>"$W/said"
    [ "$(q "[p for v in d for p in v['problems'] if p['severity'] == 'error' and p.get('kind') != 'NotAPv']" "$W/json")" = "[]" ] || { no "$1: sound" "$(tail -n 2 "$W/said") $(q "[p for v in d for p in v['problems'] if p['severity'] == 'error']" "$W/json")"; return; }
    [ "$2" = pool ] || { ok "$1"; return; }
    n=$((n + 1))
    good "$1" replica set "$A" --name "n$n"
}
# The tools do it, or do not have it here; what they did, we take.
tools() { # pool|theirs CMD...
    local whose=$1; shift
    if "$@" >"$W/did" 2>&1; then sound "$*" "$whose"; else note "not here: $*: $(tail -n 1 "$W/did")"; fi
}
ours() { tools pool "$@"; }
theirs() { tools theirs "$@"; }

good "a pool with its first extent at 17 MiB" pool create p "$P1" "$P2"
good "a replica" replica create p "$A" 16M
is "its first extent is at 17 MiB" "$(field pvs pe_start "$P1")" $((17 << 20))
device=$(blockdev --getsize64 "$P1")
ours pvresize -q "$P1"
that "what the text says of the device is a warning" "any(p['severity'] == 'warning' and 'pv-dev-size' in p['what'] for v in d for p in v['problems'])" "$W/json"
good "grow puts it right" pool grow p
that "it says so" "len(d['done']) == 1"
inspect --json "$P1" "$P2" >"$W/json"
that "the text has the device's size" "[pv['dev_size'] for v in d for pv in v['pvs'] if pv['path'] == '$P1'] == [$device]" "$W/json"
good "growing again does nothing" pool grow p
that "it says that, too" "d['done'] == []"
ours pvresize -q -y --setphysicalvolumesize 600M "$P1"
good "repair puts it right and takes nothing" pool repair p
that "the PV is as small as they made it" "len(d['done']) == 1 and d['capacity'] < 1700 << 20"
ours pvresize -q -y --setphysicalvolumesize 500M "$P1"
ours pvresize -q "$P1"
good "repair after it" pool repair p
good "grow after it" pool grow p
good "all space is the pool's" pool show p
that "as at first" "d['capacity'] == 2 * ((1100 - 17) // 4 * 4 << 20)"
for way in "-l 20" "-l 0" "-p 20" "-p 0" "--alloc cling" "--alloc contiguous" "--alloc anywhere" "--alloc normal" "--addtag t1" "--deltag t1" \
    "-s 2M" "-s 8M" "-s 4M" "--uuid" "--metadatacopies 1" "--vgmetadatacopies unmanaged" "--setautoactivation n" "--setautoactivation y" \
    "--profile thin-performance" "--metadataprofile thin-performance" "--detachprofile" "--refresh" "--monitor n"; do
    case $way in -s*|--uuid) quiet vgchange -q -an p ;; esac
    ours vgchange -q -y $way p
    case $way in -s*|--uuid) quiet vgchange -q -ay p ;; esac
done
# A VG that may not be changed is read, too.
tools theirs vgchange -q -y -x n p
tools pool vgchange -q -y -x y p
for way in "-x n" "-x y" "--addtag t1" "--deltag t1" "--metadataignore y" "--metadataignore n" "-u"; do
    ours pvchange -q -y $way "$P2"
done
for way in "-C y" "-C n" "--alloc cling" "--alloc inherit" "-r 128" "-r none" "-r auto" "-k y" "-k n" "--setautoactivation n" "--setautoactivation y" \
    "--addtag t2" "--deltag t2" "-M y --major 253 --minor 99" "-M n" "-p r" "-p rw" "--metadataprofile thin-performance" "--detachprofile" "--refresh"; do
    ours lvchange -q -y $way "p/$A"
done
ours lvextend -q -L +8M "p/$A"
fs=$(lvreduce --help 2>&1 | grep -q -- '--fs ' && echo "--fs ignore")
ours lvreduce -q -f $fs -L 16M "p/$A"
ours pvmove -q "$P1"
ours vgextend -q p "$V3"
ours vgreduce -q p "$V3"
ours vgcfgbackup -q -f "$W/cfg" p
ours vgck p
tools pool vgck --updatemetadata p
quiet vgchange -q -an p
ours vgcfgrestore -q -f "$W/cfg" p
tools theirs vgrename -q p q
tools pool vgrename -q q p
tools theirs vgexport -q p
tools pool vgimport -q p
quiet vgchange -q -ay p
ours lvcreate -q -y -Wn -n other -L 8M p "$P1"
ours lvrename -q p other another
ours lvcreate -q -y -s -n snap -L 8M "p/$A"
quiet lvremove -q -y p/snap
ours lvconvert -q -y --type raid1 -m1 p/another
in_sync p another
ours lvconvert -q -y --splitmirrors 1 --trackchanges p/another
ours lvconvert -q -y --merge p/another_rimage_1
in_sync p another
ours lvconvert -q -y -m0 p/another
quiet lvremove -q -y p/another

theirs vgcreate -q v "$V1" "$V2"
theirs pvcreate -q -y --metadatacopies 2 "$V3"
theirs vgextend -q v "$V3"
theirs lvcreate -q -y -Wn -n l -L 32M v "$V1"
theirs vgsplit -q v w "$V3"
theirs vgmerge -q v w
theirs pvresize -q "$V1"
theirs pvresize -q -y --setphysicalvolumesize 200M "$V3"
theirs pvresize -q "$V3"
theirs lvconvert -q -y --type mirror -m1 v/l
await 30 '[ "$(field lvs copy_percent v/l)" = 100.00 ]'
theirs lvreduce -q -f $fs -L 8M v/l
theirs lvconvert -q -y -m0 v/l
theirs lvcreate -q -y --type thin-pool -n tp -L 32M v
theirs lvcreate -q -y -V 64M --thinpool tp -n thin v
theirs lvchange -q -y --errorwhenfull y v/tp
theirs lvchange -q -y --discards ignore v/tp
theirs lvchange -q -y -Z n v/tp
theirs lvconvert -q -y --type thin --thinpool tp v/l --originname base
theirs lvconvert -q -y --swapmetadata v/tp --poolmetadata v/none
theirs lvcreate -q -y -Wn -n fast -L 16M v
theirs lvcreate -q -y -Wn -n slow -L 16M v
theirs lvconvert -q -y --type cache --cachevol fast v/slow
theirs lvchange -q -y --cachemode writethrough v/slow
theirs lvconvert -q -y --splitcache v/slow
theirs vgchange -q -y -s 1M v
theirs vgchange -q -y --systemid "" v
theirs vgreduce -q v "$V3"
theirs vgremove -q -ff -y v
good "the pool goes" pool destroy p
