"""Does for lib.sh what is slow in a shell: runs poolctl, reads JSON, looks at devices.

One request a line, its words split by 0x1f, newlines in words as 0x1e; the answer is one line.  FOLDER, the only argument, is
where poolctl's output goes: FOLDER/out and FOLDER/err.

poolctl ARGS...                     its exit status
good ARGS...                        why that was no success; empty if it was
refused STATUS ERROR DISKS ARGS...  why that was not refused as it should; ERROR is KIND/ERRNO or - for wrong usage
cut CALL N ARGS...                  kills a poolctl before its Nth system call of this name: `killed`, or `ended` if it makes fewer
swept                               how often that was since the last of these, and how many moments the sweeps that ended had
q FILE EXPR                         the value of a Python expression: d is the JSON in FILE (the rows of an LVM report)
failures MOST ARGS...               runs a poolctl; how many failures of it are worth a try, and MOST of them, see failing.py
failing FAILURE ARGS...             runs it with one: `done`, `typed KIND`, or what is wrong
state                               what pools, replicas and snapshots there are
mark DEV...                         remembers how much was written to the devices
written DEV...                      which of them were written to since, and how much, or what writes on its own; empty if none
leaks                               what a device-mapper client left in the kernel or /dev; empty if nothing
fill DEV SEED MIB                   writes data that depends on SEED, past the page cache
stamps VERB DEV BLOCKS WORDS...     why DEV does not hold what stamp.py's `check` or `cut` wants; empty if it does
sum DEV MIB                         the checksum of the first MIB, past the page cache
"""
import json
import mmap
import os
import random
import re
import signal
import struct
import subprocess
import sys
import time
import zlib

import stamp
from failing import Failing

MIB = 1 << 20
COOKIE_MAGIC = 0x0D4D
# Folders of /dev that are no VG's.
OTHER_FOLDERS = ("mapper", "disk", "block", "char", "bsg", "input", "pts", "shm", "fd")
# Seconds after which a poolctl counts as hung.
LIMIT = 60
OUT, ERR = (os.path.join(sys.argv[1], name) for name in ("out", "err"))
log = open(os.path.join(os.environ["OUT"], "poolctl.log"), "a")
marks = {}
# Since the last `swept`: each kill, and how many calls each command made that came to its end.
kills, moments = [], {}
failing = Failing(sys.argv[1])


def head(path, size=400):
    with open(path, errors="replace") as file:
        return file.read(size).strip()


def poolctl(*args):
    with open("/proc/uptime") as file:
        now = file.read().split()[0]
    with open(OUT, "wb") as out, open(ERR, "wb") as err:
        try:
            status = subprocess.run(["poolctl", "--json", *args], stdin=subprocess.DEVNULL, stdout=out, stderr=err, timeout=LIMIT).returncode
        except subprocess.TimeoutExpired:
            status = "hung"
    print(f"{now} poolctl {' '.join(args)} -> {status}\n{head(OUT, 3000)}\n{head(ERR, 3000)}", file=log, flush=True)
    return status


def said(status):
    return f"exit {status}, stdout '{head(OUT)}', stderr '{head(ERR)}'"


def good(*args):
    status = poolctl(*args)
    left = leaks()
    return said(status) if status != 0 else left and f"left over: {left}"


def refused(status, error, disks, *args):
    mark(disks)
    got = poolctl(*args)
    why = [] if str(got) == status else [f"not exit {status}"]
    if error != "-":
        d, lines = load(OUT)
        found = f"{d['error']['kind']}/{d['error']['errno']}" if isinstance(d, dict) and "error" in d else "none"
        if found != error:
            why.append(f"the error is {found}, not {error}")
        elif lines != 1 or not d["error"]["message"]:
            why.append("the error is not one line with a message")
    why += filter(None, [written(disks), leaks()])
    return "; ".join(why + [said(got)]) if why else ""


def cut(call, number, *args):
    inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"]
    trace = os.path.join(sys.argv[1], "trace")
    status = subprocess.call(["strace", "-qq", "-o", trace, *inject, "poolctl", *args], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    if status == -signal.SIGKILL:
        kills.append(number)
        return "killed"
    with open(trace, errors="replace") as file:
        moments[call, args] = sum(line.startswith(f"{call}(") for line in file)
    return f"ended: {status}"


def swept():
    """How often it was killed since the last of these, and at how many moments it could have been."""
    said = f"{len(kills)} {sum(moments.values())}"
    kills.clear()
    moments.clear()
    return said


def load(path):
    with open(path, errors="replace") as file:
        text = file.read()
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if isinstance(value, dict) and "report" in value:
        value = [row for part in value["report"] for rows in part.values() for row in rows]
    return value, text.count("\n")


def evaluate(path, expression):
    d, _ = load(path)
    names = {"d": d, "re": re, "hexid": lambda text: text.replace("-", "")}
    names["one"] = lambda **want: next(row for row in d if all(row[key] == value for key, value in want.items()))
    return eval(expression, names)


def written_so_far(device):
    """Sectors written and discarded, with what the page cache still held."""
    fd = os.open(device, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    with open(f"/sys/class/block/{os.path.basename(os.path.realpath(device))}/stat") as file:
        counters = file.read().split()
    return int(counters[6]) + int(counters[13])


def mark(devices):
    for device in devices.split():
        marks[device] = written_so_far(device)
    return ""


def written(devices):
    if not devices:
        return ""
    changed = ((device, written_so_far(device) - marks[device]) for device in devices.split())
    said = [f"{sectors} sectors of {device} were written" for device, sectors in changed if sectors]
    return ", ".join(said + [f"{what} writes when it likes: nothing can be watched" for what in lazy_writers()])


def lazy_writers():
    """What writes to its disks some time after it was used: to watch them beside it would be a race, so it is said each time."""
    yield from (name for name, _ in mapped_devices() if "_rmeta_" in name)
    with open("/proc/mounts") as file:
        mounts = (line.split() for line in file)
        yield from (source for source, _, _, options, *_ in mounts if source.startswith("/dev/") and options.startswith("rw"))


def mapped_devices():
    for name in os.listdir("/sys/class/block"):
        folder = f"/sys/class/block/{name}/dm"
        if name.startswith("dm-") and os.path.isdir(folder):
            with open(f"{folder}/name") as file, open(f"{folder}/suspended") as suspended:
                yield file.read().strip(), suspended.read().strip() == "1"


def mapper_nodes():
    return set(os.listdir("/dev/mapper") if os.path.isdir("/dev/mapper") else []) - {"control"}


def dangling_links():
    folders = (folder for folder in os.scandir("/dev") if folder.is_dir(follow_symlinks=False) and folder.name not in OTHER_FOLDERS)
    links = (link.path for folder in folders for link in os.scandir(folder.path) if link.is_symlink())
    return [link for link in links if not os.path.exists(link)]


def leaks():
    found = []
    nodes, links = mapper_nodes(), dangling_links()
    if os.environ["UDEV"] == "udev" and any(os.path.basename(path).startswith(".#") for path in [*nodes, *links]):
        # udevd replaces a link by one that it makes beside it, with such a name: what is there when it is done counts.
        subprocess.run(["udevadm", "settle", "--timeout=30"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        nodes, links = mapper_nodes(), dangling_links()
    devices = dict(mapped_devices())
    found += [f"{name} is suspended" for name, suspended in devices.items() if suspended]
    found += [f"{name} has no node" for name in devices.keys() - nodes]
    found += [f"/dev/mapper/{name} has no device" for name in nodes - devices.keys()]
    found += [f"{link} points nowhere" for link in links]
    with open("/proc/sysvipc/sem") as file:
        keys = [int(line.split()[0]) & 0xFFFFFFFF for line in list(file)[1:]]
    found += [f"cookie {key:#x}" for key in keys if key >> 16 == COOKIE_MAGIC]
    return "; ".join(found)


def fill(device, seed, mib):
    fd = os.open(device, os.O_WRONLY | os.O_DIRECT)
    try:
        buffer, noise = mmap.mmap(-1, MIB), random.Random(seed).randbytes(4096 - 8)
        for index in range(int(mib)):
            buffer[:] = b"".join(struct.pack("<Q", index * 256 + block) + noise for block in range(256))
            os.pwritev(fd, [buffer], index * MIB)
        os.fsync(fd)
    finally:
        os.close(fd)
    return "filled"


def digest(device, mib):
    fd = os.open(device, os.O_RDONLY | os.O_DIRECT)
    try:
        buffer, total = mmap.mmap(-1, MIB), 0
        for index in range(int(mib)):
            size = os.preadv(fd, [buffer], index * MIB)
            total = zlib.crc32(buffer[:size], total)
    finally:
        os.close(fd)
    return f"{total:08x}"


def stamps(*words):
    try:
        stamp.main(*words)
    except SystemExit as why:
        return str(why)
    return ""


def state():
    """Which replicas are active is at the end."""
    found, active = [], []
    shown = {"pool": ("name", "disks", "tags"), "replica": ("uuid", "name", "pool", "size", "layout", "share", "tags"), "snapshot": ("uuid",)}
    for noun, keys in shown.items():
        status = poolctl(noun, "list")
        if status != 0:
            return f"no list: {said(status)}"
        rows = load(OUT)[0]
        found.append(sorted(json.dumps([row.get(key) for key in keys]) for row in rows))
        active += sorted(row["uuid"] for row in rows if row.get("active"))
    return json.dumps(found).replace(" ", "") + " active:" + ",".join(active)


VERBS = {"poolctl": poolctl, "good": good, "refused": refused, "q": evaluate, "mark": mark, "written": written}
VERBS |= {"cut": cut, "swept": swept, "leaks": leaks, "fill": fill, "sum": digest, "stamps": stamps}
VERBS |= {"failures": failing.failures, "failing": failing.failing, "state": state}
for line in sys.stdin:
    verb, *words = line.rstrip("\n").replace("\x1e", "\n").split("\x1f")
    try:
        answer = str(VERBS[verb](*words))
    except Exception as error:  # the scenario shows it in place of the value
        answer = f"{type(error).__name__}: {error}"
    print(answer.replace("\n", " "), flush=True)
