"""Writers of image files, byte for byte where Pillow writes no such file, and Chromium's view."""

import base64
import io
import struct
import zlib
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from serving.images.decode import decode

if TYPE_CHECKING:
    from playwright.sync_api import Page

Pixels = npt.NDArray[np.uint8]

RANDOM = np.random.default_rng(0)
# Large areas, so that chroma subsampling and quantization leave most pixels as they are.
SMOOTH = np.asarray(
    Image.fromarray(RANDOM.integers(0, 256, (4, 4, 4), dtype=np.uint8), "RGBA").resize((32, 32))
)
RGB = np.ascontiguousarray(SMOOTH[..., :3])
# An Exif block that says "rotate by 90° clockwise to show".
TURNED = b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0) + bytes(4)
ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def encode(image: Image.Image | Pixels, format_: str, **options: Any) -> bytes:
    """Return what Pillow writes."""
    buffer = io.BytesIO()
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def pixels(content: bytes, *, resize: bool = False) -> npt.NDArray[Any]:
    """Return what the service makes of a file, as integers, from which one can subtract."""
    decoded = decode(content, name="it", resize=resize).pixels
    assert decoded.shape == (32, 32, 3)
    assert decoded.dtype == np.uint8
    return decoded.astype(int)


def chunk(kind: bytes, content: bytes, *, checksum: int | None = None) -> bytes:
    """Return a chunk of a PNG."""
    right = zlib.crc32(kind + content)
    number = right if checksum is None else checksum
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", number)


def png_of(
    width: int, height: int, depth: int, color: int, interlace: int, *chunks: bytes
) -> bytes:
    """Return a PNG with this header and what follows it, up to the chunk IEND."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + b"".join((chunk(b"IHDR", header), *chunks, chunk(b"IEND", b"")))


def png_of_samples(
    samples: npt.NDArray[np.uint16], depth: int, color: int, interlace: int, *extra: bytes
) -> bytes:
    """Return a PNG of [32, 32, channels] samples of `depth` bits."""
    data = b""
    for x, y, right, down in ADAM7 if interlace else ((0, 0, 1, 1),):
        for row in samples[y::down, x::right]:
            if depth == 16:
                packed = row.astype(">u2").tobytes()
            else:
                bits = np.unpackbits(row.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :]
                packed = np.packbits(bits.reshape(-1)).tobytes()
            data += b"\0" + packed
    pixels = chunk(b"IDAT", zlib.compress(data))
    return png_of(32, 32, depth, color, interlace, *extra, pixels)


def webp_of(flags: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """Return a WebP of 32×32 pixels with these chunks."""
    extended = bytes((flags, 0, 0, 0, 31, 0, 0, 31, 0, 0))
    body = b"WEBP"
    for kind, data in ((b"VP8X", extended), *chunks):
        body += kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def lossless(image: Pixels) -> bytes:
    """Return an image as WebP's chunk VP8L."""
    return encode(image, "WEBP", lossless=True, exact=True)[12:]


def webp(flags: int, *chunks: tuple[bytes, bytes], image: Pixels = RGB) -> bytes:
    """Return a WebP of an image, losslessly, and of other chunks."""
    return webp_of(flags, (b"VP8L", lossless(image)[8:]), *chunks)


def bmp(header: bytes, table: bytes, rows: bytes, height: int = 32) -> bytes:
    """Return a BMP; `header` is what follows its size, width, height and number of planes."""
    size = 16 - 2 + len(header)
    start = 14 + size + len(table)
    fixed = struct.pack("<IiiH", size, 32, height, 1)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, start) + fixed + header + table + rows


def bmp_in_colors(space: bytes, rest: bytes, behind: bytes = b"") -> bytes:
    """Return a BMP of RGB: a BITMAPV5HEADER from its color space on, and the end of the file."""
    header = struct.pack("<H", 24) + bytes(40) + space + rest
    return bmp(header, b"", RGB[::-1, :, ::-1].tobytes()) + behind


def bmp_with_profile(icc: bytes) -> bytes:
    """Return a BMP of RGB whose profile follows its pixels."""
    place = struct.pack("<III", 4, 124 + 3 * 32 * 32, len(icc))  # from the header's start
    return bmp_in_colors(b"DEBM", bytes(48) + place + bytes(4), icc)


NO_COLORS = bytes(28)


@cache  # since it takes seconds to write
def avif_with_profile() -> bytes:
    """Return an AVIF of RGB in 64×48 pixels, with a profile of 28 bytes."""
    image = Image.fromarray(RGB).resize((64, 48))
    return encode(image, "AVIF", quality=100, subsampling="4:4:4", icc_profile=NO_COLORS)


def avif_with_aperture(*numbers: int) -> bytes:
    """Return an AVIF of RGB in 64×48 pixels, with the box clap in place of a profile as long."""
    content = avif_with_profile()
    box = b"\0\0\0\x28clap" + struct.pack(">iIiIiIiI", *numbers)
    for found, instead in (
        (b"\0\0\0\x28colrprof" + NO_COLORS, box),
        (b"\5\1\2\x83\4\5", b"\5\1\2\x83\x84\5"),  # of ipma: none may ignore it
    ):
        assert content.count(found) == 1
        content = content.replace(found, instead)
    return content


# The columns of ICC's own profiles, adapted to D50.
DISPLAY_P3 = {
    b"rXYZ": (0.51512, 0.24120, -0.00105),
    b"gXYZ": (0.29198, 0.69225, 0.04189),
    b"bXYZ": (0.15710, 0.06657, 0.78407),
}
BT_2020 = {
    b"rXYZ": (0.67348, 0.27904, -0.00194),
    b"gXYZ": (0.16566, 0.67534, 0.02998),
    b"bXYZ": (0.12505, 0.04562, 0.79686),
}


def icc_profile(columns: Mapping[bytes, tuple[float, ...]]) -> bytes:
    """Return sRGB's profile with other primaries."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for i in range(int.from_bytes(content[128:132])):
        kind, start = struct.unpack_from(">4sI", content, 132 + 12 * i)
        if kind in columns:
            fixed = (round(value * 2**16) for value in columns[kind])
            struct.pack_into(">3i", content, start + 8, *fixed)
    return bytes(content)


WIDE = icc_profile(BT_2020)


def shown(page: "Page", kind: str, content: bytes) -> npt.NDArray[Any]:
    """Return the pixels of an image of 32×32 as Chromium shows it on white."""
    show = """async address => {
        const image = new Image();
        image.src = address;
        await image.decode();
        const context = new OffscreenCanvas(32, 32).getContext("2d", { alpha: false });
        context.fillStyle = "white";
        context.fillRect(0, 0, 32, 32);
        context.drawImage(image, 0, 0);
        return [...context.getImageData(0, 0, 32, 32).data];
    }"""
    address = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    return np.reshape(page.evaluate(show, address), (32, 32, 4))[..., :3]
