"""Are the images of an array what its level says?  parity.py LEVEL CHUNK_BYTES BYTES IMAGE...: read past the page cache.

raid4, raid5: the images add up to zero.  raid6: so they do without the second parity, which is right, too; in LVM's default layout
both move one image on with each stripe, the first from the first image.  raid10: each image is as its neighbour.
"""
import mmap
import os
import sys

PIECE = 1 << 20
# Times two in the field of the second parity.
DOUBLE = bytes((byte << 1 ^ (0x1D if byte & 0x80 else 0)) & 0xFF for byte in range(256))


def read(path, size):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    buffer = mmap.mmap(-1, PIECE)
    data = bytearray()
    while len(data) < size:
        got = os.preadv(fd, [buffer], len(data))
        if got <= 0:
            sys.exit(f"{path} ends at {len(data)}")
        data += buffer[:got]
    return data[:size]


def add(parts):
    total = 0
    for part in parts:
        total ^= int.from_bytes(part, "little")
    return total


def twice(number, size):
    return int.from_bytes(number.to_bytes(size, "little").translate(DOUBLE), "little")


def second_parity(row, parities, chunk):
    """The image of each number is multiplied by 2 to the power of it, those of the parities count as zeroes."""
    total = 0
    for image in reversed(range(len(row))):
        total = twice(total, chunk)
        if image not in parities:
            total ^= int.from_bytes(row[image], "little")
    return total


def main(level, chunk, size, *paths):
    chunk, size = int(chunk), int(size)
    images = [read(path, size) for path in paths]
    count = len(images)
    for stripe, at in enumerate(range(0, size, chunk)):
        row = [image[at:at + chunk] for image in images]
        if level == "raid10":
            right = all(row[image] == row[image + 1] for image in range(0, count, 2))
        elif level == "raid6":
            p = stripe % count
            q = (p + 1) % count
            right = add(row[:q] + row[q + 1:]) == 0
            right = right and second_parity(row, (p, q), chunk) == int.from_bytes(row[q], "little")
        else:
            right = add(row) == 0
        if not right:
            sys.exit(f"stripe {stripe} of {level} is wrong")


main(*sys.argv[1:])
