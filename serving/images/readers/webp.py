"""Reads the first frame of WebP files: RFC 9649.

The container is rebuilt with only what the first frame needs, since libwebp rejects an image for a
wrong length; Exif blocks and profiles are left out.
"""

import io
import struct

from PIL import Image, WebPImagePlugin

from serving.images.exif import read_orientation
from serving.images.readers.encoded import EncodedImage, drawn_within

_FRAME = {b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"}
# Flags of VP8X.
_PROFILE, _ALPHA, _EXIF, _XMP = 0b0010_0000, 0b0001_0000, 0b0000_1000, 0b0000_0100


def read(content: bytes) -> EncodedImage:
    """Walk the chunks.

    Raises:
        ValueError, struct.error: those of the first frame are missing or broken.
    """
    kept: list[bytes] = []
    kinds: set[bytes] = set()  # of the kept chunks
    exif = profile = b""
    flags = 0
    position = 12
    while position + 8 <= len(content):
        kind, length = struct.unpack_from("<4sI", content, position)
        data = content[position + 8 : position + 8 + length]
        position += 8 + length + length % 2
        if kind == b"VP8X" and kind not in kinds:
            flags = data[0]
            data = bytes([flags & ~(_PROFILE | _EXIF | _XMP)]) + data[1:]
        elif kind == b"EXIF":
            exif = exif or data
        elif kind == b"ICCP":
            profile = profile or data
        if kind not in kinds and (
            kind == b"VP8X" or (kind in _FRAME and not kinds & {b"VP8 ", b"VP8L"})
        ):
            if len(data) < length:
                raise ValueError("truncated")
            kinds.add(kind)
            kept.append(struct.pack("<4sI", kind, length) + data + b"\0" * (length % 2))
    body = b"WEBP" + b"".join(kept)
    riff = b"RIFF" + struct.pack("<I", len(body)) + body

    def load(_: bool) -> Image.Image:
        image = WebPImagePlugin.WebPImageFile(io.BytesIO(riff))
        image.load()
        if flags & _ALPHA or b"VP8X" not in kinds:
            return image
        opaque = image.convert("RGB")
        if b"ANMF" not in kinds:
            return opaque
        return drawn_within(_read_extents(kept), opaque)

    width, height = _read_size(kept[0])
    return EncodedImage(
        width,
        height,
        load,
        # As with transparency, decoders ignore what the flags of VP8X do not announce.
        orientation=read_orientation(exif) if flags & _EXIF else 1,
        color=profile if flags & _PROFILE else None,
    )


def _read_extents(chunks: list[bytes]) -> tuple[int, int, int, int]:
    """Return the left, top, right and bottom edges of an animation's first frame."""
    frame = next(chunk[8:] for chunk in chunks if chunk.startswith(b"ANMF"))
    left, top, width, height = (
        int.from_bytes(frame[start : start + 3], "little") for start in (0, 3, 6, 9)
    )
    return 2 * left, 2 * top, 2 * left + width + 1, 2 * top + height + 1


def _read_size(chunk: bytes) -> tuple[int, int]:
    kind, data = chunk[:4], chunk[8:]
    if kind == b"VP8X":
        return int.from_bytes(data[4:7], "little") + 1, int.from_bytes(data[7:10], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(data[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 6)
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError("no frame")
