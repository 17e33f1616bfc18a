"""Converts any mode and profile to 8-bit sRGB over white."""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from serving.images.color.colorimetry import SRGB, Colorimetry, convert

_SRGB = ImageCms.createProfile("sRGB")
_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # a profile's color space and its mode


def to_srgb(image: Image.Image, color: bytes | Colorimetry | None) -> Image.Image:
    """Convert an image of mode L, LA, RGB, RGBA or CMYK.

    `color` is an ICC profile or another description of the samples; a broken or mismatched one is
    ignored.
    """
    alpha = image.getchannel("A") if image.mode in {"LA", "RGBA"} else None
    if alpha:
        image = image.convert(image.mode.removesuffix("A"))
    rgb = image.convert("RGB")
    if color and color != SRGB:
        rgb = _convert(image, rgb, color)
    if alpha:
        over_white = Image.new("RGB", rgb.size, "white")
        over_white.paste(rgb, mask=alpha)
        rgb = over_white
    return rgb


def _convert(image: Image.Image, rgb: Image.Image, color: bytes | Colorimetry) -> Image.Image:
    try:
        if isinstance(color, Colorimetry):
            converted = Image.fromarray(convert(np.asarray(rgb), color))
        else:
            converted = _apply_profile(image, rgb, color)
    except (ImageCms.PyCMSError, OSError, KeyError, ValueError):
        return rgb
    # sRGB's own profile changes samples only by rounding.
    change = np.abs(np.asarray(converted, np.int16) - np.asarray(rgb, np.int16))
    return converted if change.max() > 1 else rgb


def _apply_profile(image: Image.Image, rgb: Image.Image, profile: bytes) -> Image.Image:
    mode, transform = _build_transform(profile)
    if mode == image.mode:
        return transform.apply(image)
    return transform.apply(rgb) if mode == "RGB" and image.mode != "CMYK" else rgb


@lru_cache(maxsize=8)  # the slowest step for a small image; phone photos have profiles
def _build_transform(profile: bytes) -> tuple[str, ImageCms.ImageCmsTransform]:
    source = ImageCms.ImageCmsProfile(io.BytesIO(_without_float_tables(profile)))
    mode = _SPACES[source.profile.xcolor_space.strip()]
    return mode, ImageCms.buildTransform(source, _SRGB, mode, "RGB")


def _without_float_tables(profile: bytes) -> bytes:
    """Rename the tags D2B0 to D2B3 (ICC.1:2022, 9.2.18), so that lcms does not read them.

    Browsers read none either, and one may repeat a step so often that 1 KB of PNG takes 10 seconds.
    """
    hidden = bytearray(profile)
    tags = int.from_bytes(profile[128:132])
    for place in range(132, min(132 + 12 * tags, len(profile)), 12):
        if hidden[place : place + 3] == b"D2B":
            hidden[place : place + 3] = b"xxx"
    return bytes(hidden)
