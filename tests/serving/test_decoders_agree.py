"""Decoding beside libvips, another decoder: over many variants of each format, equal or refused."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms

from serving.errors import BrokenImageError, UnsupportedTypeError
from serving.images.decode import decode
from tests.serving.image_files import SMOOTH, Pixels, chunk, encode, png_of_samples

Variant = tuple[str, bytes]

RANDOM = np.random.default_rng(0)
PLANES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of PNG's color types
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


def wide_gamut() -> bytes:
    """Return sRGB's profile with its red and green exchanged, so that it must be converted."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    return (
        bytes(profile).replace(b"rXYZ", b"tmp_").replace(b"gXYZ", b"rXYZ").replace(b"tmp_", b"gXYZ")
    )


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
            yield name, png_of_samples(samples, depth, color, interlace, *extra)


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
                    encode(rgba.convert(mode), "JPEG", progressive=progressive, quality=95,
                         subsampling=0, **options),
                )  # fmt: skip
        for mode, lossless in itertools.product(("RGB", "RGBA"), (False, True)):
            image = rgba.convert(mode)
            yield (
                f"WebP {mode}, lossless {lossless}, {what}",
                encode(image, "WEBP", lossless=lossless, quality=95, exact=True, **options),
            )
            yield f"PNG {mode}, {what}", encode(image, "PNG", **options)
    for mode, interlace in itertools.product(("L", "P", "RGB", "RGBA"), (0, 1)):
        yield (
            f"GIF {mode}, interlace {interlace}",
            encode(rgba.convert(mode), "GIF", interlace=interlace),
        )
    for subsampling, restart in itertools.product((1, 2), (0, 3)):
        yield (
            f"JPEG subsampling {subsampling}, restart {restart}",
            encode(
                rgba.convert("RGB"), "JPEG", subsampling=subsampling, restart_marker_blocks=restart
            ),
        )


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
