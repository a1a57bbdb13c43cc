# gate: trixie-udev
# One bad VG never stops the others; `inspect` agrees with pvs, vgs and lvs.
. /opt/vm/lib.sh
A=$(uuid 0xa) B=$(uuid 0xb)
good "a pool" pool create good1 /dev/vda
good "a replica" replica create good1 "$A" 16M --name vol-a
good "a striped pool" pool create good2 /dev/vdb /dev/vdc
good "a striped replica" replica create good2 "$B" 16M --layout striped:2
quiet vgcreate -q -s 1m other /dev/vdd
quiet lvcreate -q -y -Wn -n lv -L 5m --addtag some other
quiet lvextend -q -L 9m other/lv
quiet pvcreate -q /dev/vde

agrees() { # NAME DISKS...: inspect says what the tools say
    local name=$1; shift
    inspect --json "$@" >"$W/inspect" || no "$name" "inspect fails"
    vgs --reportformat json --units b --nosuffix -o vg_name,vg_uuid,vg_seqno,vg_extent_size,vg_extent_count,vg_free_count,vg_tags >"$W/vgs" 2>/dev/null
    pvs --reportformat json --units b --nosuffix -o pv_name,pv_uuid,vg_name,dev_size,pe_start,pv_pe_count,pv_pe_alloc_count,pv_mda_count >"$W/pvs" 2>/dev/null
    lvs -a --reportformat json --units b --nosuffix -o lv_name,lv_uuid,vg_name,lv_size,lv_tags,seg_count >"$W/lvs" 2>/dev/null
    python3 - "$W" >"$W/differences" <<'PY'
import json, sys
folder = sys.argv[1]
def rows(name, key):
    report = json.load(open(f"{folder}/{name}"))["report"]
    return [row for part in report for row in part[key]]
seen = json.load(open(f"{folder}/inspect"))
vgs = {row["vg_name"]: row for row in rows("vgs", "vg")}
pvs = {row["pv_name"]: row for row in rows("pvs", "pv")}
lvs = {(row["vg_name"], row["lv_name"].strip("[]")): row for row in rows("lvs", "lv")}
def same(what, ours, theirs):
    if str(ours) != str(theirs):
        print(f"{what}: {ours} is not {theirs};", end=" ")
named = [vg for vg in seen if vg["name"]]
same("VGs", sorted(vg["name"] for vg in named), sorted(vgs))
same("PVs", sorted(pv["path"] for vg in seen for pv in vg["pvs"]), sorted(pvs))
# The LV that ties a snapshot to its origin is in the text alone.
same("LVs", sorted((vg["name"], lv["name"]) for vg in named for lv in vg["lvs"] if not lv["name"].startswith("snapshot")), sorted(lvs))
for vg in named:
    theirs = vgs[vg["name"]]
    for ours, name in (("id", "vg_uuid"), ("seqno", "vg_seqno"), ("extent_size", "vg_extent_size"),
                       ("extent_count", "vg_extent_count"), ("free_extents", "vg_free_count")):
        same(f"{vg['name']} {ours}", vg[ours], theirs[name])
    same(f"{vg['name']} tags", ",".join(vg["tags"]), theirs["vg_tags"])
    for lv in vg["lvs"]:
        # Not reported: what ties a snapshot to its origin.
        if lv["name"].startswith("snapshot"):
            continue
        theirs = lvs[vg["name"], lv["name"]]
        # The tools report a snapshot as what its users see: of the origin's size, and visible.
        is_snapshot = lv["name"] == "snap"
        for ours, name in (("id", "lv_uuid"), *([] if is_snapshot else [("size", "lv_size")])):
            same(f"{lv['name']} {ours}", lv[ours], theirs[name])
        same(f"{lv['name']} segments", len(lv["segments"]), theirs["seg_count"])
        same(f"{lv['name']} tags", sorted(lv["tags"]), sorted(filter(None, theirs["lv_tags"].split(","))))
        hidden = next(row for row in rows("lvs", "lv") if row["lv_name"].strip("[]") == lv["name"])["lv_name"].startswith("[")
        same(f"{lv['name']} visible", lv["visible"] or is_snapshot, not hidden)
for vg in seen:
    for pv in vg["pvs"]:
        theirs = pvs[pv["path"]]
        same(f"{pv['path']} VG", vg["name"] or "", theirs["vg_name"])
        pairs = [("id", "pv_uuid"), ("dev_size", "dev_size")]
        pairs += [("pe_start", "pe_start"), ("pe_count", "pv_pe_count"), ("pe_used", "pv_pe_alloc_count")] if vg["name"] else []
        for ours, name in pairs:
            same(f"{pv['path']} {ours}", pv[ours], theirs[name])
        same(f"{pv['path']} areas", len(pv["mdas"]), theirs["pv_mda_count"])
PY
    is "$name" "$(<"$W/differences")" ""
}
ask mark "$WATCH"
agrees "inspect agrees with the tools" /dev/vda /dev/vdb /dev/vdc /dev/vdd /dev/vde
ask written "$WATCH"; is "inspect writes nothing" "$REPLY" ""
runs "inspect finds nothing wrong" inspect --check /dev/vda /dev/vdb /dev/vdc /dev/vdd /dev/vde
inspect --text /dev/vda >"$W/ours"
quiet pvck --dump metadata -f "$W/theirs" /dev/vda
runs "inspect prints the text that pvck finds" cmp "$W/ours" "$W/theirs"
quiet lvcreate -q -y -n pool -T -L 16m other
quiet lvcreate -q -y -n thin -V 32m -T other/pool
quiet lvcreate -q -y -Wn -n origin -L 8m other
quiet lvcreate -q -y -n snap -s -L 4m other/origin
agrees "inspect agrees about LVs of other kinds" /dev/vda /dev/vdb /dev/vdc /dev/vdd /dev/vde

both() { # NAME: the good pools are listed, whatever the bad one is
    good "$1: pools are listed" pool list
    that "$1: the good ones are online" "{pool['name'] for pool in d if pool['state'] == 'online'} >= {'good1', 'good2'}"
    good "$1: replicas are listed" replica list
    that "$1: the good ones are there" "{r['uuid'] for r in d} >= {'$A', '$B'}"
    good "$1: a good one is changed" replica set "$A" --name "vol-$RANDOM"
}
quiet vgchange -q -an other
quiet vgchange -q --addtag mayastor other
quiet lvchange -q --addtag mayastor other/lv
both "a VG with LVs of all kinds"
# Unknown segment type: valid metadata of a later LVM.
quiet vgcfgbackup -q -f "$W/text" other
sed 's/type = "thin-pool"/type = "later-pool"/' "$W/text" >"$W/later"
dd if=/dev/vdd of="$W/vdd.head" bs=1M count=1 status=none
python3 - <<'PY'
import mmap, os, re
fd = os.open("/dev/vdd", os.O_RDWR)
head = bytearray(os.pread(fd, 1 << 20, 0))
# Another word of the same length would be seen by the checksum: the text's bytes are broken.
at = head.rindex(b"extent_count")
head[at:at + 12] = b"extent_kount"
os.pwrite(fd, bytes(head), 0)
os.fsync(fd)
PY
blockdev --flushbufs /dev/vdd
both "a VG with broken text"
dd if=/dev/zero of=/dev/vdd bs=4096 seek=1 count=1 conv=notrunc status=none
blockdev --flushbufs /dev/vdd
both "a VG with a broken area header"
bad "the broken disk is not taken" DiskInUse/EBUSY pool create new /dev/vdd
dd if=/dev/urandom of=/dev/vdd bs=4096 count=1 conv=notrunc status=none
blockdev --flushbufs /dev/vdd
both "a disk of noise"
dd if="$W/vdd.head" of=/dev/vdd bs=1M conv=notrunc status=none
blockdev --flushbufs /dev/vdd
both "a VG that was repaired"
quiet vgremove -q -ff -y other

# A disk that fails every read.
dmsetup create broken --table "0 524288 error"
settle
both "a disk that fails every read"
dmsetup remove broken
settle

# The same PV twice.
dd if=/dev/vda of=/dev/vdd bs=1M iflag=direct oflag=direct status=none
blockdev --flushbufs /dev/vdd
good "a PV that is there twice: pools are listed" pool list
that "the other pool is online" "{pool['name'] for pool in d if pool['state'] == 'online'} >= {'good2'}"
bad "a PV that is there twice: it is not changed" DuplicatePv/EBUSY replica resize "$A" 32M
blkdiscard -f -z /dev/vdd
settle
good "with one PV it is changed again" replica resize "$A" 32M
good "the first pool goes" pool destroy good1
good "the second pool goes" pool destroy good2
