"""What each format's reader finds in a file before any pixel is decoded."""

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from serving.images.colorimetry import Colorimetry


class UnreadVariantError(Exception):
    """A file of a format that is read, in a variant that is not; the message names it."""


@dataclass(frozen=True)
class EncodedImage:
    """An image still packed: its size as stored, in pixels, and what else its pixels mean.

    `load` decodes them, to mode L, LA, RGB, RGBA or CMYK; asked for a thumbnail, it may do so at
    a lower resolution, of at least 128 pixels each way. It raises whatever the decoder raises.
    """

    width: int
    height: int
    load: Callable[[bool], Image.Image]
    orientation: int = 1  # 1 to 8, as Exif's tag 0x0112
    color: bytes | Colorimetry | None = None  # an ICC profile, or what else says as much
    scans: int = 1  # passes over the pixels
