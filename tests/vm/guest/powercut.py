"""Takes the power away at every moment of operations that dm-log-writes noted, and asks what is left.

powercut.py LOG TARGET DISK...

LOG is what dm-log-writes wrote while TARGET was written to through it; DISKS lie on TARGET.  TARGET was blank before.  Each
operation is what happened between the marks `begin:NAME` and `end:NAME`.  For each a line is printed:

NAME WRITES FLUSHES STATES OURS TOOLS

STATES are the different contents that a loss of power could have left, OURS and TOOLS what `inspect` and the real tools read
from them: OLD/NEW/NEITHER in numbers of states.  What is neither is told on stderr.

The model of a disk: a sector is written as a whole or not at all; a write that no flush covered may be missing, the last one
may have landed in part.  A flush covers all that was written before it, whatever disk on TARGET it was meant for.
"""
import collections
import hashlib
import json
import os
import struct
import subprocess
import sys

SECTOR = 512
MAGIC = 0x6A736677736872
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
BLANK = bytes(SECTOR)


class Write:
    """The sectors of a write, as pairs of number and bytes in order, and its flags."""

    def __init__(self, sector, data, flags):
        self.flags = flags
        self.sectors = [(sector + at // SECTOR, data[at : at + SECTOR]) for at in range(0, len(data), SECTOR)]
        self.is_flush = bool(flags & FLUSH)
        self.is_durable = bool(flags & FUA)


def read_log(path):
    """The entries in order: Writes, and marks as text.  The layout is that of Linux's drivers/md/dm-log-writes.c."""
    with open(path, "rb") as log:
        magic, version, count, size = struct.unpack("<QQQI", log.read(28))
        assert (magic, version) == (MAGIC, 1), f"{path} holds no log of writes"
        log.seek(size)
        for _ in range(count):
            head = log.read(size)
            sector, sectors, flags, length = struct.unpack_from("<QQQQ", head)
            if flags & MARK:
                yield head[32 : 32 + length].decode()
            else:
                data = bytes(sectors * size) if flags & DISCARD else log.read(sectors * size)
                yield Write(sector * size // SECTOR, data, flags)


def drop_unchanged(base, writes):
    """Leaves out the sectors that hold the same before, during and after all of the writes; gives what the others held before."""
    values = collections.defaultdict(set)
    for write in writes:
        for sector, data in write.sectors:
            values[sector].add(data)
    changed = {sector for sector, data in values.items() if data != {base.get(sector, BLANK)}}
    for write in writes:
        write.sectors = [(sector, data) for sector, data in write.sectors if sector in changed]
    return {sector: base.get(sector, BLANK) for sector in sorted(changed)}


def moments(start, writes):
    """All states that a loss of power could have left: as (what was lost, state)."""
    covered = 0  # writes before this one are on the disk for certain
    landed, certain = dict(start), dict(start)
    yield "nothing was written", start
    for number, write in enumerate(writes):
        if write.is_flush:
            covered, certain = number, dict(landed)
        for cut in range(1, len(write.sectors)):
            yield f"write {number} lost but its first {cut} sectors", landed | dict(write.sectors[:cut])
            yield f"write {number} lost but its last sectors from {cut}", landed | dict(write.sectors[cut:])
        landed |= dict(write.sectors)
        if write.is_durable:
            # On the disk whatever becomes of those before it.
            certain |= dict(write.sectors)
        yield f"cut after write {number}", landed
        yield f"cut after write {number}, what no flush covered lost", certain
        for lost in range(covered, number + 1):
            if writes[lost].sectors and not writes[lost].is_durable:
                others = (other.sectors for at, other in enumerate(writes[: number + 1]) if at != lost)
                yield f"cut after write {number}, write {lost} lost", start | {k: v for sectors in others for k, v in sectors}


def put(target, state, now):
    """Makes the target hold a state; `now` is what it holds."""
    for sector, data in state.items():
        if now.get(sector) != data:
            os.pwrite(target, data, sector * SECTOR)
            now[sector] = data
    os.fsync(target)


def read_ours(disks):
    done = subprocess.run(["inspect", "--json", *disks], capture_output=True, text=True)
    report = json.loads(done.stdout)
    if isinstance(report, dict):
        # A disk that is no PV yet, or no more, is none of the VG's business.
        failures = [error["message"] for error in report["errors"] if error["kind"] != "NotAPv"]
        if failures:
            return failures
        report = report["vgs"]
    # What is wrong with a path alone stands with the free PVs.
    problems = [problem for vg in report if not vg["name"] for problem in vg["problems"]]
    failures = [problem["what"] for problem in problems if problem.get("kind", "NotAPv") != "NotAPv"]
    if failures:
        return failures
    return [
        (vg["name"], vg["seqno"], [pv["id"] for pv in vg["pvs"]], [(lv["name"], lv["tags"], lv["segments"]) for lv in vg["lvs"]])
        for vg in report
        if vg["name"]
    ]


def read_tools(_):
    fields = "vg_name,vg_seqno,pv_name,pvseg_start,pvseg_size,lv_name,lv_tags"
    # Their hints are in /run, which is gone with the power.
    command = ["pvs", "--config", 'devices/hints="none"', "--segments", "--noheadings", "-o", fields, "-S", "vg_name!=''"]
    done = subprocess.run(command, capture_output=True, text=True)
    # Of a text whose checksum is wrong the tools say so, and then succeed without the VG.
    if done.returncode != 0 or "Checksum error" in done.stderr:
        return f"exit {done.returncode}: {done.stderr[:300]}"
    return sorted(done.stdout.split("\n"))


READERS = (read_ours, read_tools)


def try_operation(name, base, writes, target, now, disks):
    total = sum(bool(write.sectors) for write in writes)
    # Before the mark at its end each disk was flushed once more.
    flushes = sum(write.is_flush or write.is_durable for write in writes) - len(disks)
    start = drop_unchanged(base, writes)
    end = start | {k: v for write in writes for k, v in write.sectors}
    faces = []
    for state in (start, end):
        put(target, state, now)
        faces.append([reader(disks) for reader in READERS])
    counts = [collections.Counter() for _ in READERS]
    seen = set()
    for what, state in moments(start, writes):
        digest = hashlib.sha1(b"".join(state[sector] for sector in start)).digest()
        if digest in seen:
            continue
        seen.add(digest)
        put(target, state, now)
        for reader, count, old, new in zip(READERS, counts, *faces):
            face = reader(disks)
            kind = "old" if face == old else "new" if face == new else "neither"
            count[kind] += 1
            if kind == "neither":
                print(f"{name}: {what}: {reader.__name__}: {face}\n  old: {old}\n  new: {new}", file=sys.stderr)
    put(target, end, now)
    results = ["/".join(str(count[kind]) for kind in ("old", "new", "neither")) for count in counts]
    print(name, total, flushes, len(seen), *results, flush=True)


def main(log, target, *disks):
    device = os.open(target, os.O_RDWR)
    base, now = {}, {}
    writes = []
    for entry in read_log(log):
        if isinstance(entry, Write):
            writes.append(entry)
            continue
        verb, _, name = entry.partition(":")
        if verb == "end":
            try_operation(name, base, writes, device, now, disks)
        for write in writes:
            base |= dict(write.sectors)
        put(device, base, now)
        writes = []


main(*sys.argv[1:])
