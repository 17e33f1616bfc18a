"""BMP: Microsoft's BITMAPINFOHEADER and its kin.

Pillow takes a black-and-white color table to mean one bit per pixel, whatever the depth, and
supports only some masks, so this module reads the header and leaves only the pixels to Pillow.
"""

import struct

import numpy as np
from PIL import Image

from serving.images.readers.encoded import EncodedImage, UnreadVariantError

_RGB, _RLE8, _RLE4, _BITFIELDS, _ALPHA_BITFIELDS = 0, 1, 2, 3, 6
_PACKED = {4: "a BMP file with a JPEG inside", 5: "a BMP file with a PNG inside"}
_CORE, _OS2, _INFO, _V5 = 12, range(16, 65), 40, 124  # header sizes, in bytes
_WINDOWS = {_INFO, 52, 56}  # among those of OS/2, which may end after any field
_EMBEDDED = b"DEBM"  # the color space of a profile
_MASKS = {16: (0x7C00, 0x3E0, 0x1F, 0), 32: (0xFF0000, 0xFF00, 0xFF, 0)}
_INDEXED = {1: "P;1", 2: "P;2", 4: "P;4", 8: "P"}


def read(content: bytes) -> EncodedImage:
    """Read the header.

    Raises:
        ValueError, struct.error: it is broken.
        UnreadVariantError: the compression, the depth or the masks are not supported.
    """
    start, size = struct.unpack_from("<II", content, 10)
    width, height, depth, compression, colors = _read_header(content, size)
    by_os2 = size in _OS2 and size not in _WINDOWS
    top_down = height < 0
    height = abs(height)
    if width <= 0 or not height:
        raise ValueError("no pixels")
    if compression in _PACKED and not by_os2:
        raise UnreadVariantError(_PACKED[compression])
    if compression not in _allowed(depth, by_os2=by_os2):
        raise UnreadVariantError(
            f"a BMP file with {depth} bits per pixel and compression {compression}"
        )

    after = 14 + size  # where the masks or the color table are
    masks = _MASKS.get(depth, (0, 0, 0, 0))
    if compression in {_BITFIELDS, _ALPHA_BITFIELDS}:
        given = struct.unpack_from("<3I", content, 14 + _INFO)
        with_alpha = size >= 56 or compression == _ALPHA_BITFIELDS
        masks = (*given, *struct.unpack_from("<I", content, 66)) if with_alpha else (*given, 0)
        if size == _INFO:
            after += 16 if compression == _ALPHA_BITFIELDS else 12
        _check(masks, depth)
    entry = 3 if size == _CORE else 4
    if depth <= 8:
        count = min(colors or 1 << depth, 1 << depth)
        table = content[after : after + entry * count]
        after += entry * count
    start = start or after
    stride = (width * depth + 31) // 32 * 4
    direction = 1 if top_down else -1

    def load(_: bool) -> Image.Image:
        if compression in {_RLE8, _RLE4}:
            indices, painted = _unpack(content[start:], width, height, depth)
            image = Image.frombytes("P", (width, height), indices, "raw", "P", 0, direction)
            mask = Image.frombytes("L", (width, height), painted, "raw", "L", 0, direction)
            rgb = _colored(image, table, entry)
            if mask.getextrema() != (255, 255):
                rgb.putalpha(mask)
            return rgb
        rows = content[start : start + stride * height]
        if len(rows) < stride * (height - 1) + (width * depth + 7) // 8:
            raise ValueError("truncated")
        rows = rows.ljust(stride * height, b"\0")
        if depth <= 8:
            return _colored(
                Image.frombytes(
                    "P", (width, height), rows, "raw", _INDEXED[depth], stride, direction
                ),
                table,
                entry,
            )
        if depth == 24 or masks == _MASKS[32]:
            raw_mode = "BGR" if depth == 24 else "BGRX"
            return Image.frombytes("RGB", (width, height), rows, "raw", raw_mode, stride, direction)
        samples = np.frombuffer(rows, f"<u{depth // 8}").reshape(height, -1)[:, :width]
        return _masked(samples if top_down else samples[::-1], masks)

    return EncodedImage(width, height, load, color=_read_profile(content, size))


def _read_header(content: bytes, size: int) -> tuple[int, int, int, int, int]:
    """Return width, height, bits per pixel, compression, and how many colors the table has."""
    if size == _CORE:
        width, height, _, depth = struct.unpack_from("<HHHH", content, 18)
        return width, height, depth, 0, 0
    if size < _OS2.start or len(content) < 14 + size:
        raise ValueError("the header is unknown or truncated")
    width, height, _, depth, compression, _, _, _, colors = struct.unpack(
        "<iiHHIIiiI", content[18 : min(14 + size, 50)].ljust(32, b"\0")
    )
    return width, height, depth, compression, colors


def _read_profile(content: bytes, size: int) -> bytes | None:
    """Return an embedded profile; Chromium ignores the header's own primaries and gamma, too."""
    if size < _V5 or content[14 + 56 : 14 + 60] != _EMBEDDED:
        return None
    start, length = struct.unpack_from("<II", content, 14 + 112)
    return content[14 + start : 14 + start + length]


def _allowed(depth: int, *, by_os2: bool) -> set[int]:
    by_depth = {1: {_RGB}, 2: {_RGB}, 4: {_RGB, _RLE4}, 8: {_RGB, _RLE8}, 24: {_RGB}}
    masked = {_RGB} if by_os2 else {_RGB, _BITFIELDS, _ALPHA_BITFIELDS}
    return {**by_depth, 16: masked, 32: masked}.get(depth, set())


def _check(masks: tuple[int, ...], depth: int) -> None:
    for mask in masks:
        bits = mask // (mask & -mask) if mask else 0  # shifted to the right
        if bits & (bits + 1) or mask >> depth:
            raise UnreadVariantError("a BMP file with non-contiguous masks")


def _colored(image: Image.Image, table: bytes, entry: int) -> Image.Image:
    colors = [table[i : i + 3][::-1] for i in range(0, len(table) - 2, entry)]
    image.putpalette(b"".join(colors))
    return image.convert("RGB")


def _masked(samples: np.ndarray, masks: tuple[int, ...]) -> Image.Image:
    channels = []
    for mask in masks:
        shift = (mask & -mask).bit_length() - 1 if mask else 0
        top = mask >> shift
        values = (samples & mask) >> shift
        if top > 255:
            values, top = values >> (top.bit_length() - 8), 255
        scale = np.arange(top + 1) * 255 / max(top, 1)
        channels.append(np.round(scale).astype(np.uint8)[values])
    *rgb, alpha = channels
    if masks[-1] and alpha.any():  # all zero means opaque, as in browsers
        return Image.fromarray(np.dstack(channels))
    return Image.fromarray(np.dstack(rgb))


def _unpack(data: bytes, width: int, height: int, depth: int) -> tuple[bytes, bytes]:
    """Unpack run lengths to color indices, and a mask: 255 where a pixel is given, else 0."""
    indices, painted = bytearray(width * height), bytearray(width * height)
    x = y = i = 0

    def paint(pixels: bytes) -> None:
        nonlocal x
        pixels = pixels[: width - x]
        place = y * width + x
        indices[place : place + len(pixels)] = pixels
        painted[place : place + len(pixels)] = b"\xff" * len(pixels)
        x += len(pixels)

    def spread(packed: bytes, count: int) -> bytes:
        if depth == 8:
            return packed
        return bytes(nibble for byte in packed for nibble in (byte >> 4, byte & 15))[:count]

    while y < height:
        if i + 2 > len(data):
            if all(painted):
                break
            raise ValueError("truncated")
        count, value = data[i], data[i + 1]
        i += 2
        if count:
            run = data[i - 1 : i] if depth == 8 else spread(data[i - 1 : i], 2)
            paint((run * count)[:count])
        elif value == 0:
            x, y = 0, y + 1
        elif value == 1:
            break
        elif value == 2:
            x, y = min(x + data[i], width), y + data[i + 1]
            i += 2
        else:
            length = (value * depth + 7) // 8
            paint(spread(data[i : i + length], value))
            i += length + length % 2
    return bytes(indices), bytes(painted)
