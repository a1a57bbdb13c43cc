"""The longest wait of a write: stall.py DEV FILE writes 4 KiB at DEV's start, past the page cache, until SIGTERM, and then notes in
FILE how many microseconds the slowest of the writes took."""
import mmap
import os
import signal
import sys
import time

device, path = sys.argv[1:]
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
fd = os.open(device, os.O_RDWR | os.O_DIRECT)
buffer = mmap.mmap(-1, 4096)
longest = 0
while not stop:
    start = time.monotonic_ns()
    os.pwrite(fd, buffer, 0)
    longest = max(longest, time.monotonic_ns() - start)
with open(path, "w") as file:
    file.write(f"{longest // 1000}\n")
