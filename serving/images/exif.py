"""Reads the Exif orientation, however broken the other tags are."""

from typing import Literal

_ORIENTATION = 0x0112
_SIZES = {3: 2, 4: 4}  # of SHORT and LONG, in bytes


def read_orientation(exif: bytes) -> int:
    """Return the orientation, 1 to 8, in an Exif block's first directory; 1 if it has none."""
    exif = exif.removeprefix(b"Exif\0\0")
    order: Literal["little", "big"]
    if exif.startswith(b"II*\0"):
        order = "little"
    elif exif.startswith(b"MM\0*"):
        order = "big"
    else:
        return 1

    def number(position: int, size: int) -> int:
        return int.from_bytes(exif[position : position + size], order)

    directory = number(4, 4)
    for i in range(number(directory, 2)):
        entry = directory + 2 + 12 * i
        if entry + 12 > len(exif):
            break
        if number(entry, 2) == _ORIENTATION:
            value = number(entry + 8, _SIZES.get(number(entry + 2, 2), 0))
            return value if 1 <= value <= 8 else 1
    return 1
