"""BYTES tensors as binary data: each element follows its length, 4 bytes, little-endian."""

import struct
from collections.abc import Iterable

_LENGTH = struct.Struct("<I")


def pack(elements: Iterable[bytes]) -> bytes:
    """Return elements as binary data."""
    return b"".join(_LENGTH.pack(len(element)) + element for element in elements)


def unpack(content: bytes, count: int) -> list[bytes]:
    """Return the elements of binary data.

    Raises:
        ValueError: the data is not exactly `count` whole elements.
    """
    elements: list[bytes] = []
    start = 0
    while start < len(content):
        if len(elements) == count:
            raise ValueError(f"{len(content) - start} bytes follow {count} elements")
        first = start + _LENGTH.size
        length = _LENGTH.unpack_from(content, start)[0] if first <= len(content) else 0
        start = first + length
        if start > len(content):
            raise ValueError(f"element {len(elements)} is cut off")
        elements.append(content[first:start])
    if len(elements) < count:
        raise ValueError(f"there are only {len(elements)} elements")
    return elements
