"""A writer whose every acknowledged write can be recognised later.

stamp.py write DEV BLOCKS SEQFILE [COUNT]  writes blocks 1, 2, 3, ... in a ring of BLOCKS at the start of DEV, past the page
                                           cache; SEQFILE holds the last acknowledged number.  Ends at SIGTERM or after COUNT,
                                           and with a status of failure at the first error.
stamp.py sync DEV BLOCKS SEQFILE [COUNT]   as `write`, and each write is durable when it is acknowledged
stamp.py cut DEV BLOCKS LOW HIGH           DEV holds exactly the state after one write from LOW to HIGH: what a snapshot
                                           shows that was begun after LOW and ended before HIGH was acknowledged
stamp.py check DEV BLOCKS SEQFILE          DEV holds exactly the state after the last acknowledged write or the one after it
stamp.py newest DEV BLOCKS                 prints the number of the newest write, if DEV holds exactly the state after it
stamp.py stall SEQFILE                     prints the longest wait of a write by the last writer, in microseconds
"""
import mmap
import os
import signal
import struct
import sys
import time

BLOCK = 4096
# Between two writes, in seconds, of a writer that goes on until it is stopped: some come while anything happens, and they leave most of
# an emulated processor to what happens.
PAUSE = 0.003


def stamp(number):
    return struct.pack("<QQ", number, number * 0x9E3779B97F4A7C15 & (1 << 64) - 1) * (BLOCK // 16) if number else bytes(BLOCK)


def noted(path):
    """The last acknowledged number, and the longest wait in nanoseconds."""
    with open(path, "rb") as file:
        return struct.unpack("<QQ", file.read(16).ljust(16, b"\0"))


def last(path):
    return noted(path)[0]


def write(device, blocks, path, count=0, flags=0):
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    seq = os.open(path, os.O_RDWR | os.O_CREAT)
    number = start = last(path)
    fd = os.open(device, os.O_RDWR | os.O_DIRECT | flags)
    buffer = mmap.mmap(-1, BLOCK)
    longest = 0
    while not stop and not (count and number - start >= count):
        number += 1
        buffer[:] = stamp(number)
        begun = time.monotonic_ns()
        os.pwrite(fd, buffer, number % blocks * BLOCK)
        longest = max(longest, time.monotonic_ns() - begun)
        os.pwrite(seq, struct.pack("<QQ", number, longest), 0)
        if not count:
            time.sleep(PAUSE)


def sync(device, blocks, path, count=0):
    write(device, blocks, path, count, os.O_DSYNC)


def newest(device, blocks):
    """The number of the newest write, if all blocks are of that moment."""
    fd = os.open(device, os.O_RDONLY | os.O_DIRECT)
    try:
        buffer = mmap.mmap(-1, blocks * BLOCK)
        at = 0
        while at < blocks * BLOCK:
            size = os.preadv(fd, [memoryview(buffer)[at:]], at)
            if size == 0:
                sys.exit("the device is shorter than the ring")
            at += size
    finally:
        os.close(fd)
    held = [buffer[at:at + BLOCK] for at in range(0, blocks * BLOCK, BLOCK)]
    top = max(struct.unpack_from("<Q", block)[0] for block in held)
    for place, block in enumerate(held):
        want = max(top - (top - place) % blocks, 0)
        if block != stamp(want):
            sys.exit(f"block {place} is not write {want} of {top}")
    return top


def cut(device, blocks, low, high):
    top = newest(device, blocks)
    if not int(low) <= top <= high:
        sys.exit(f"the newest write is {top}, not {low} to {high}")


def check(device, blocks, path):
    cut(device, blocks, last(path), last(path) + 1)


def stall(path):
    print(noted(path)[1] // 1000)


def main(verb, *words):
    if verb == "stall":
        return stall(*words)
    if verb == "newest":
        device, blocks = words
        return print(newest(device, int(blocks)))
    device, blocks, path, *rest = words
    {"write": write, "sync": sync, "check": check, "cut": cut}[verb](device, int(blocks), path, *map(int, rest))


if __name__ == "__main__":
    main(*sys.argv[1:])
