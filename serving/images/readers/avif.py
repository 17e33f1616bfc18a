"""Reads the first image of AVIF files: https://aomediacodec.github.io/av1-avif/."""

import io
import struct
from collections.abc import Iterator
from fractions import Fraction

from PIL import AvifImagePlugin, Image

from serving.images.color.colorimetry import Colorimetry, describe_cicp
from serving.images.exif import read_orientation
from serving.images.readers.encoded import EncodedImage

Properties = list[tuple[bytes, memoryview]]

# Curves that browsers treat as sRGB's: unspecified ones, and those of cameras.
_SRGB_CURVES = dict.fromkeys((1, 2, 6, 14, 15), 13)

AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # decode in the calling thread only


def read(content: bytes) -> EncodedImage:
    """Read the boxes; on failure, raises whatever Pillow raises."""
    # The boxes give the orientation. Exif's does not count, but Pillow would read the whole block;
    # it skips one with another name.
    end = content.find(b"mdat")
    content = content[:end].replace(b"Exif\0", b"Skip\0") + content[end:]
    image = AvifImagePlugin.AvifImageFile(io.BytesIO(content))
    properties = _read_properties(content)
    shown = _read_aperture(properties, *image.size)
    left, top, right, bottom = shown

    def load(_: bool) -> Image.Image:
        return image.crop(shown)

    return EncodedImage(
        right - left,
        bottom - top,
        load,
        orientation=read_orientation(image.info.get("exif", b"")),
        color=image.info.get("icc_profile") or _read_color(properties),
        hidden=image.width * image.height - (right - left) * (bottom - top),
    )


def _read_color(properties: Properties) -> Colorimetry | None:
    """Return the nclx box's colors; without one, they are sRGB: ISO/IEC 23000-22."""
    for kind, box in properties:
        if kind == b"colr" and bytes(box[:4]) == b"nclx":
            primaries, transfer = struct.unpack_from(">HH", box, 4)
            # 2 means unspecified, so sRGB's.
            return describe_cicp(
                {2: 1}.get(primaries, primaries), _SRGB_CURVES.get(transfer, transfer)
            )
    return None


def _read_aperture(properties: Properties, width: int, height: int) -> tuple[int, int, int, int]:
    """Return the visible part, in pixels as stored; the whole image if the box is invalid."""
    whole = (0, 0, width, height)
    for kind, box in properties:
        if kind == b"clap":
            try:
                wide, high, right, down = (
                    Fraction(*n) for n in struct.iter_unpack(">iI", box[:32])
                )
            except (struct.error, ValueError, ZeroDivisionError):
                return whole
            left = right + (width - wide) / 2  # the offsets are from center to center
            top = down + (height - high) / 2
            shown = (left, top, left + wide, top + high)
            inside = 0 <= left < shown[2] <= width and 0 <= top < shown[3] <= height
            if inside and all(edge.denominator == 1 for edge in shown):
                return (int(left), int(top), int(shown[2]), int(shown[3]))
    return whole


def _read_properties(content: bytes) -> Properties:
    """Return the boxes that describe the first image, not those of its depth map or HDR twin."""
    try:
        top = dict(_read_boxes(memoryview(content)))
        meta = dict(_read_boxes(top[b"meta"][4:]))
        first = int.from_bytes(meta[b"pitm"][4:])
        found = list(_read_boxes(meta[b"iprp"]))
        properties = list(_read_boxes(dict(found)[b"ipco"]))
        return [
            properties[index - 1]
            for kind, box in found
            if kind == b"ipma"
            for item, index in _read_associations(box)
            if item == first and index
        ]
    except (struct.error, KeyError, IndexError):
        return []  # a pure animation has none of these boxes


def _read_associations(box: memoryview) -> Iterator[tuple[int, int]]:
    """Yield the numbers of an item and of one of its properties, counted from 1."""
    version, flags, count = struct.unpack_from(">BxxBI", box)
    item_form, index_form = ">I" if version else ">H", ">H" if flags & 1 else ">B"
    position = 8
    for _ in range(count):
        (item,) = struct.unpack_from(item_form, box, position)
        position += struct.calcsize(item_form)
        indices = box[position]
        position += 1
        for _ in range(indices):
            (index,) = struct.unpack_from(index_form, box, position)
            position += struct.calcsize(index_form)
            yield item, index & (0x7FFF if flags & 1 else 0x7F)


def _read_boxes(content: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield the kind and content of each box: ISO/IEC 14496-12."""
    while len(content) >= 8:
        size, kind = struct.unpack_from(">I4s", content)
        start = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", content, 8)
            start = 16
        size = size or len(content)
        if size < start:
            return
        yield kind, content[start:size]
        content = content[size:]
