"""Decodes uploaded files to the pixels that the models see, or says why it refuses them."""

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from models import IMAGE_SIZE
from serving.errors import (
    BrokenImageError,
    ImageSizeError,
    ServingError,
    TooLargeError,
    UnsupportedTypeError,
)
from serving.images.color.convert import to_srgb
from serving.images.formats import find_damage, name_format
from serving.images.readers import avif, bmp, gif, jpeg, png, webp
from serving.images.readers.encoded import EncodedImage, UnreadVariantError

__all__ = [
    "ACCEPTED",
    "FORMATS",
    "MAX_PIXELS",
    "MIMETYPES",
    "DecodedImage",
    "Upload",
    "decode",
    "is_small",
]

MIMETYPES = frozenset(
    f"image/{kind}" for kind in ("png", "jpeg", "jpg", "webp", "gif", "bmp", "x-ms-bmp", "avif")
)
MAX_PIXELS = 8192 * 6144  # of an image to resize, by default; as of 50-megapixel phones
MAX_SCANS = 100  # in a JPEG; each costs a pass over the image, and may take only 42 bytes
MAX_SCANNED_PIXELS = 1_000_000_000  # in all scans of a JPEG; about a second
SMALL_FILE = 2**14  # bytes; a plain image of 32×32 pixels has up to 4,300
SIZE = (IMAGE_SIZE, IMAGE_SIZE)

_READERS: dict[str, Callable[[bytes], EncodedImage]] = {
    "PNG": png.read,
    "JPEG": jpeg.read,
    "WebP": webp.read,
    "GIF": gif.read,
    "BMP": bmp.read,
    "AVIF": avif.read,
}
FORMATS = tuple(_READERS)
ACCEPTED = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PROFILES = (b"iCCP", b"ICC_PROFILE\0", b"ICCP", b"DEBM")  # of PNG, JPEG, WebP and BMP
_SPOKEN_VOWEL = re.compile("[AEIO]|HTML|M[NP]|RTF|SVG|XML")

# Pillow warns about problems that decode() refuses or ignores, in lines that do not fit the log.
warnings.filterwarnings("ignore", module=r"PIL\.")


@dataclass(frozen=True)
class Upload:
    """An image as it was sent; error messages call it `name`."""

    filename: str | None
    name: str
    content: bytes


@dataclass(frozen=True)
class DecodedImage:
    """Pixels, uint8 [32, 32, 3] sRGB, and the image's display size in pixels."""

    pixels: npt.NDArray[np.uint8]
    width: int
    height: int

    @property
    def resampled(self) -> bool:
        """Whether the image was cropped to its center and resampled."""
        return (self.width, self.height) != SIZE


def decode(
    content: bytes, *, name: str, resize: bool, max_pixels: int = MAX_PIXELS
) -> DecodedImage:
    """Decode the first frame of an image in one of `FORMATS`.

    The orientation is applied, colors are converted to sRGB as the file describes them,
    transparency is composited over white, and any other mode becomes 8-bit RGB. With `resize`, the
    largest centered square of an image of another size is resampled to 32×32. Error messages call
    the image `name`.

    Raises:
        BrokenImageError: the bytes are empty, not an image, or a broken one.
        UnsupportedTypeError: they are in another format, or in an unsupported variant.
        ImageSizeError: the image is not 32×32 and `resize` is off.
        TooLargeError: the image to resize has more than `max_pixels`, or takes too much memory.
    """
    if not content:
        raise BrokenImageError(f"{name} is empty.")
    if damage := find_damage(content):
        raise BrokenImageError(f"{name} {damage}")
    found = name_format(content)
    if found is None:
        raise BrokenImageError(f"{name} is not an image. Send a {ACCEPTED} file.")
    if found not in _READERS:
        article = "an" if _SPOKEN_VOWEL.match(found) else "a"
        raise UnsupportedTypeError(f"{name} is {article} {found} file; send {ACCEPTED}.")
    try:
        encoded = _READERS[found](content)
        _check(encoded, name=name, resize=resize, max_pixels=max_pixels)
        pixels = _load(encoded)
    except ServingError:
        raise
    except UnreadVariantError as error:
        raise UnsupportedTypeError(
            f"{name} is {error}, which is not supported; send a plain {ACCEPTED} file."
        ) from error
    except Image.DecompressionBombError as error:
        raise _too_many_pixels(name, max_pixels) from error
    except MemoryError as error:
        raise TooLargeError(
            f"{name} takes too much memory to decode. Send a smaller image."
        ) from error
    except Exception as error:  # Pillow's decoders raise many kinds of errors for broken files
        raise BrokenImageError(
            f"{name} is a broken or truncated {found} file. Send the whole file."
        ) from error
    return DecodedImage(pixels, *_displayed(encoded))


def resample(image: Image.Image) -> Image.Image:
    """Return the largest centered square, resampled to 32×32."""
    return ImageOps.fit(image, SIZE, Image.Resampling.BICUBIC)


def is_small(content: bytes) -> bool:
    """Return whether decode() without `resize` takes a few milliseconds, whatever the bytes are.

    Its work is bounded by 32×32 pixels and the number of bytes, except for AVIF, where a frame may
    have more pixels than the file says, and for an ICC profile, which may be compressed.
    """
    return (
        len(content) <= SMALL_FILE
        and name_format(content) != "AVIF"
        and not any(mark in content for mark in _PROFILES)
    )


def _check(encoded: EncodedImage, *, name: str, resize: bool, max_pixels: int) -> None:
    """Refuse an image by its header, before decoding it."""
    if not encoded.width or not encoded.height:
        raise ValueError("it has no pixels")
    pixels = encoded.width * encoded.height + encoded.hidden
    scanned = encoded.scans * min(pixels, max_pixels)  # larger ones are refused below
    if encoded.scans > MAX_SCANS or scanned > MAX_SCANNED_PIXELS:
        raise BrokenImageError(
            f"{name} has too many scans ({encoded.scans:,}). Save it as a baseline JPEG."
        )
    width, height = _displayed(encoded)
    if not resize and (width, height) != SIZE:
        raise ImageSizeError(
            f"{name} is {width}×{height} pixels; the models take {IMAGE_SIZE}×{IMAGE_SIZE}."
        )
    if pixels > max_pixels:
        raise _too_many_pixels(name, max_pixels)


def _displayed(encoded: EncodedImage) -> tuple[int, int]:
    turned = encoded.orientation >= 5
    return (encoded.height, encoded.width) if turned else (encoded.width, encoded.height)


def _load(encoded: EncodedImage) -> npt.NDArray[np.uint8]:
    other_size = _displayed(encoded) != SIZE
    image = encoded.load(other_size)
    if other_size:
        image = resample(image)
    if encoded.orientation in _TRANSPOSES:
        image = image.transpose(_TRANSPOSES[encoded.orientation])
    return np.asarray(to_srgb(image, encoded.color))


def _too_many_pixels(name: str, most: int) -> TooLargeError:
    return TooLargeError(
        f"{name} has too many pixels: at most {most:,} are accepted. Send a smaller image."
    )
