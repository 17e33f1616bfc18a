"""What each reader returns: an image's header and how to decode its pixels."""

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from serving.images.color.colorimetry import Colorimetry


class UnreadVariantError(Exception):
    """An unsupported variant of a supported format; the message names it."""


@dataclass(frozen=True)
class EncodedImage:
    """An encoded image: its size as stored, in pixels, and how to interpret its pixels.

    `load` decodes them to mode L, LA, RGB, RGBA or CMYK; for a thumbnail, it may use a lower
    resolution of at least 128 pixels each way. It raises whatever the decoder raises. `hidden`
    pixels are decoded, too, but are not part of the image.
    """

    width: int
    height: int
    load: Callable[[bool], Image.Image]
    orientation: int = 1  # 1 to 8, as Exif's tag 0x0112
    color: bytes | Colorimetry | None = None  # an ICC profile or an equivalent
    scans: int = 1  # passes over the pixels
    hidden: int = 0


def drawn_within(extents: tuple[int, int, int, int], image: Image.Image) -> Image.Image:
    """Return the image, transparent beyond the edges (left, top, right, bottom) of its frame."""
    canvas = Image.new("RGBA", image.size)
    canvas.paste(image.crop(extents), extents)
    return canvas
