"""PNG: https://www.w3.org/TR/png-3/.

Pillow unpacks the pixels. This module walks the chunks, since Pillow rejects images for faults
outside their pixels, and misreads transparent colors of fewer or more than 8 bits.
"""

import struct
import zlib
from collections import defaultdict

import numpy as np
from PIL import Image

from serving.images.color.colorimetry import SRGB, Colorimetry, describe_cicp, describe_gamma
from serving.images.exif import read_orientation
from serving.images.readers.encoded import EncodedImage, UnreadVariantError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_PROFILE = 4 * 2**20  # bytes; profiles of printers have up to 3 MB
_KEPT = {b"IHDR", b"PLTE", b"IDAT", b"tRNS", b"eXIf", b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM"}
_CRITICAL = {b"IHDR", b"PLTE", b"IDAT"}
_ANCILLARY = 0x20  # the bit in a chunk's first letter that marks it as optional
_TRANSPARENT = {0: range(2, 3), 2: range(6, 7), 3: range(1, 257)}  # tRNS' lengths, by color type
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by color type
_RAW_MODES = {  # by depth and color type: Pillow's mode, and its name for the file's samples
    (1, 0): ("1", "1"),
    (2, 0): ("L", "L;2"),
    (4, 0): ("L", "L;4"),
    (8, 0): ("L", "L"),
    (16, 0): ("I;16", "I;16B"),
    (8, 2): ("RGB", "RGB"),
    (16, 2): ("RGB", "RGB;16B"),
    (1, 3): ("P", "P;1"),
    (2, 3): ("P", "P;2"),
    (4, 3): ("P", "P;4"),
    (8, 3): ("P", "P"),
    (8, 4): ("LA", "LA"),
    (16, 4): ("RGBA", "LA;16B"),
    (8, 6): ("RGBA", "RGBA"),
    (16, 6): ("RGBA", "RGBA;16B"),
}


def read(content: bytes) -> EncodedImage:
    """Walk the chunks.

    Raises:
        ValueError, KeyError, struct.error: a chunk that affects pixels is missing or broken.
        UnreadVariantError: it is Apple's variant.
    """
    chunks = _read_chunks(content)
    header = chunks[b"IHDR"][0]
    width, height, depth, color, compression, filters, interlace = struct.unpack(
        ">IIBBBBB", header[:13]
    )
    if compression or filters or interlace > 1:
        raise ValueError("unknown compression, filter or interlace method")
    mode, raw_mode = _RAW_MODES[depth, color]
    packed = b"".join(chunks[b"IDAT"])
    transparent = chunks[b"tRNS"][0] if chunks[b"tRNS"] else None
    if transparent is not None and len(transparent) not in _TRANSPARENT.get(color, ()):
        transparent = None
    if color == 3:
        (palette,) = chunks[b"PLTE"]
        if len(palette) not in range(3, 769, 3):
            raise ValueError("PLTE is broken")

    # Interlacing adds rows, and each row has a filter byte and may end within a byte.
    size = (width * depth * _SAMPLES[color] // 8 + 6) * (height + 8)

    def unpack(raw_mode: str) -> Image.Image:
        try:
            return _unpack(packed, mode, (width, height), raw_mode, interlace)
        except ValueError:
            checked = _with_checksum(packed, size)
            return _unpack(checked, mode, (width, height), raw_mode, interlace)

    def load(_: bool) -> Image.Image:
        image = unpack(raw_mode)
        if mode == "P":
            image.putpalette(palette)
            if transparent is None:
                return image.convert("RGB")
            image.info["transparency"] = transparent
            return image.convert("RGBA")
        if mode == "I;16":
            samples = np.asarray(image)
            image = Image.fromarray((samples >> 8).astype(np.uint8))
            if transparent is not None:
                hidden = samples == struct.unpack(">H", transparent)[0]
                image.putalpha(_opaque_but(hidden))
            return image
        if color == 0:
            image = image.convert("L")
            if transparent is not None:
                # Only the lowest of its 16 bits count; Pillow has scaled the samples to 0 to 255.
                top = 2**depth - 1
                value = (struct.unpack(">H", transparent)[0] & top) * 255 // top
                image.putalpha(_opaque_but(np.asarray(image) == value))
            return image
        if color == 2 and transparent is not None:
            red_green_blue = np.array(struct.unpack(">3H", transparent))
            low = np.asarray(image)
            hidden = (low == (red_green_blue >> (depth - 8)) % 256).all(axis=-1)
            if depth == 16:
                # Pillow keeps the high bytes; read in the other order, it keeps the low ones.
                hidden &= (np.asarray(unpack("RGB;16L")) == red_green_blue % 256).all(axis=-1)
            image.putalpha(_opaque_but(hidden))
        return image

    return EncodedImage(
        width,
        height,
        load,
        orientation=read_orientation(b"".join(chunks[b"eXIf"][:1])),
        color=_read_color({kind: found[0] for kind, found in chunks.items() if found}),
    )


def _unpack(
    packed: bytes, mode: str, size: tuple[int, int], raw_mode: str, interlace: int
) -> Image.Image:
    """Return the samples.

    Raises:
        ValueError: there are too few. Pillow lets them end after any row and leaves the rest as is.
    """
    height = size[1]
    bottom = range(max(height - 2, 0), height)  # where the last pass ends

    def unpack_over(fill: int) -> tuple[Image.Image, set[int]]:
        """Return the image, and the bottom rows that did not change."""
        image = Image.new(mode, size)
        image.paste((fill,) * len(image.getbands()), (0, bottom.start, 1, bottom.stop))
        before = [image.getpixel((0, y)) for y in bottom]
        image.frombytes(packed, "zip", raw_mode, interlace)
        return image, {
            y for y, was in zip(bottom, before, strict=True) if image.getpixel((0, y)) == was
        }

    image, untouched = unpack_over(90)
    if untouched and untouched & unpack_over(0)[1]:  # not just equal by chance
        raise ValueError("rows are missing")
    return image


def _with_checksum(packed: bytes, size: int) -> bytes:
    """Return up to `size` unpacked bytes as zlib data with the correct checksum.

    Browsers ignore a wrong or missing one.

    Raises:
        ValueError, zlib.error: more than the checksum is wrong.
    """
    unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
    rows = unpacking.decompress(packed[2:], size)
    if not unpacking.eof:
        raise ValueError("rows are missing")
    return zlib.compress(rows, 0)


def _read_chunks(content: bytes) -> dict[bytes, list[bytes]]:
    """Return the chunks' data by type, without ancillary ones that are broken or misplaced."""
    chunks: dict[bytes, list[bytes]] = defaultdict(list)
    position = len(SIGNATURE)
    view = memoryview(content)
    while position + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        data = view[position + 8 : position + 8 + length]
        checksum = content[position + 8 + length : position + 12 + length]
        position += 12 + length
        if kind == b"IEND":
            break
        if kind == b"CgBI":
            raise UnreadVariantError("a PNG file in Apple's variant (CgBI)")
        if kind != b"IDAT" and b"IDAT" in chunks:
            continue
        if not kind[0] & _ANCILLARY and kind not in _CRITICAL:
            raise ValueError(f"{kind!r} is unknown")
        if kind == b"PLTE":
            chunks.pop(b"tRNS", None)  # it must come after PLTE
        if kind not in _KEPT:
            continue
        if checksum == struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))):
            chunks[kind].append(bytes(data))
        elif kind in _CRITICAL:
            raise ValueError(f"{kind!r} is broken")
    return chunks


def _read_color(chunks: dict[bytes, bytes]) -> bytes | Colorimetry | None:
    """Return the color description that takes precedence in the standard and in browsers."""
    match [*chunks.get(b"cICP", b"")]:
        # The standard allows no matrix; no browser reads a narrow range.
        case [primaries, transfer, 0, 1] if described := describe_cicp(primaries, transfer):
            return described
    if profile := _read_profile(chunks.get(b"iCCP", b"")):
        return profile
    if b"sRGB" in chunks:
        return SRGB
    try:
        gamma = struct.unpack(">I", chunks.get(b"gAMA", b""))[0] / 100_000
    except struct.error:
        return None  # browsers ignore cHRM alone
    if not 0.1 <= gamma <= 10:
        return None
    try:
        chromaticities = struct.unpack(">8I", chunks.get(b"cHRM", b""))
    except struct.error:
        return describe_gamma(None, gamma)
    return describe_gamma(tuple(value / 100_000 for value in chromaticities), gamma)


def _read_profile(chunk: bytes) -> bytes | None:
    _, _, compressed = chunk.partition(b"\0")
    unpacking = zlib.decompressobj()
    try:
        profile = unpacking.decompress(compressed[1:], MAX_PROFILE)
    except zlib.error:
        return None
    return profile if unpacking.eof and profile[36:40] == b"acsp" else None  # ICC's signature


def _opaque_but(hidden: np.ndarray) -> Image.Image:
    return Image.fromarray(np.where(hidden, 0, 255).astype(np.uint8))
