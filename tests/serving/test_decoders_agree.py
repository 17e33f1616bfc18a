"""Decoding beside libvips, another decoder: over many variants of each format, equal or refused."""

import io
import itertools
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import pyvips
from PIL import Image, ImageCms

from serving.errors import BrokenImageError, UnsupportedTypeError
from serving.images.decode import decode

Pixels = npt.NDArray[np.uint8]
Variant = tuple[str, bytes]

RANDOM = np.random.default_rng(0)
# Large areas, so that chroma subsampling and quantization leave most pixels as they are.
SMOOTH = np.asarray(
    Image.fromarray(RANDOM.integers(0, 256, (4, 4, 4), dtype=np.uint8), "RGBA").resize((32, 32))
)
PLANES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of PNG's color types
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def wide_gamut() -> bytes:
    """Return sRGB's profile with its red and green exchanged, so that it must be converted."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    return (
        bytes(profile).replace(b"rXYZ", b"tmp_").replace(b"gXYZ", b"rXYZ").replace(b"tmp_", b"gXYZ")
    )


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png(
    samples: npt.NDArray[np.uint16], depth: int, color: int, interlace: int, *extra: bytes
) -> bytes:
    """Write [32, 32, channels] samples of `depth` bits."""
    data = b""
    for x, y, right, down in ADAM7 if interlace else ((0, 0, 1, 1),):
        for row in samples[y::down, x::right]:
            if depth == 16:
                packed = row.astype(">u2").tobytes()
            else:
                bits = np.unpackbits(row.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :]
                packed = np.packbits(bits.reshape(-1)).tobytes()
            data += b"\0" + packed
    header = struct.pack(">IIBBBBB", 32, 32, depth, color, 0, 0, interlace)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(extra)
        + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    )  # fmt: skip


def pngs() -> Iterator[Variant]:
    for color, depths in DEPTHS.items():
        for depth, interlace, transparent in itertools.product(depths, (0, 1), (False, True)):
            top = 2**depth - 1
            samples = RANDOM.integers(0, top + 1, (32, 32, PLANES[color]), dtype=np.uint16)
            samples[:16] = samples[0, 0]  # a color that is there often, to be transparent
            extra = []
            if color == 3:
                extra.append(chunk(b"PLTE", RANDOM.bytes(3 * (top + 1))))
                if transparent:
                    extra.append(chunk(b"tRNS", RANDOM.bytes(top + 1)))
            elif transparent:
                if color > 3:
                    continue
                extra.append(chunk(b"tRNS", samples[0, 0].astype(">u2").tobytes()))
            name = f"PNG type {color}, {depth} bits, interlace {interlace}, tRNS {transparent}"
            yield name, png(samples, depth, color, interlace, *extra)


def by_pillow() -> Iterator[Variant]:
    rgba = Image.fromarray(SMOOTH, "RGBA")
    profiles = {"no profile": None, "a profile": wide_gamut()}
    for (named, profile), orientation in itertools.product(profiles.items(), range(9)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        options: dict[str, Any] = {"exif": exif, "icc_profile": profile}
        what = f"orientation {orientation}, {named}"
        for mode in ("L", "RGB", "CMYK") if not profile else ("RGB",):
            for progressive in (False, True):
                yield (
                    f"JPEG {mode}, progressive {progressive}, {what}",
                    save(rgba.convert(mode), "JPEG", progressive=progressive, quality=95,
                         subsampling=0, **options),
                )  # fmt: skip
        for mode, lossless in itertools.product(("RGB", "RGBA"), (False, True)):
            image = rgba.convert(mode)
            yield (
                f"WebP {mode}, lossless {lossless}, {what}",
                save(image, "WEBP", lossless=lossless, quality=95, exact=True, **options),
            )
            yield f"PNG {mode}, {what}", save(image, "PNG", **options)
    for mode, interlace in itertools.product(("L", "P", "RGB", "RGBA"), (0, 1)):
        yield (
            f"GIF {mode}, interlace {interlace}",
            save(rgba.convert(mode), "GIF", interlace=interlace),
        )
    for subsampling, restart in itertools.product((1, 2), (0, 3)):
        yield (
            f"JPEG subsampling {subsampling}, restart {restart}",
            save(
                rgba.convert("RGB"), "JPEG", subsampling=subsampling, restart_marker_blocks=restart
            ),
        )


def save(image: Image.Image, format_: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(
        buffer, format_, **{key: value for key, value in options.items() if value is not None}
    )
    return buffer.getvalue()


def by_libvips(content: bytes) -> Pixels:
    image = pyvips.Image.new_from_buffer(content, "").autorot()
    if image.interpretation == "cmyk":  # without a profile: as browsers show it
        inks = image.numpy().astype(float)
        rgb: Pixels = ((255 - inks[..., :3]) * (255 - inks[..., 3:]) / 255).astype(np.uint8)
        return rgb
    if image.get_typeof("icc-profile-data") and image.interpretation != "b-w":
        image = image.icc_transform("srgb", embedded=True, intent="perceptual", depth=8)
    if image.interpretation in {"rgb16", "grey16"}:
        image = (image >> 8).cast("uchar").copy(interpretation="srgb" if image.bands > 2 else "b-w")
    image = image.colourspace("srgb")
    if image.hasalpha():
        image = image.flatten(background=255)
    return np.ascontiguousarray(image.numpy(), np.uint8)


@pytest.mark.parametrize(("variants", "count", "tolerance"), [(pngs, 52, 1), (by_pillow, 228, 2)])
def test_every_variant_is_equal_or_refused(variants: Any, count: int, tolerance: int) -> None:
    refused, different = [], []
    tried = 0
    for name, content in variants():
        tried += 1
        try:
            found = decode(content, name="it", resize=False).pixels
        except (BrokenImageError, UnsupportedTypeError):
            refused.append(name)
            continue
        difference = np.abs(found.astype(int) - by_libvips(content))
        if difference.max() > tolerance:
            different.append((name, difference.mean().round(2), difference.max()))
    assert not different
    assert not refused
    assert tried == count
