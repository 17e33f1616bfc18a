"""An uploaded file's bytes to the pixels that the models see, or a clear refusal."""

import io
import re
import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# The plugins register the decoders of FORMATS, and decode() lets Pillow use no others.
from PIL import (
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    ImageOps,
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
)

from models.record import IMAGE_SIZE
from serving.errors import BrokenImageError, ImageSizeError, TooLargeError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
MIMETYPES = frozenset(
    f"image/{subtype}" for subtype in ("png", "jpeg", "jpg", "webp", "gif", "bmp", "x-ms-bmp")
)
MAX_PIXELS = 25_000_000  # of a picture to resize: 75 MB once decoded
MAX_SCANS = 100  # of a JPEG; each costs a pass over the picture, and may have 42 bytes
MAX_SCANNED_PIXELS = 1_000_000_000  # of a JPEG in all its scans; about a second
SIZE = (IMAGE_SIZE, IMAGE_SIZE)

# What ends the compressed data of a scan: a marker, but for those that restart the coder within.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9

# Pillow warns of what decode() refuses, in lines that are no log.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


@dataclass(frozen=True)
class DecodedImage:
    """Pixels, uint8 [32, 32, 3] RGB, and the size that the picture came in, in pixels."""

    pixels: npt.NDArray[np.uint8]
    width: int
    height: int


def decode(content: bytes, *, name: str, resize: bool) -> DecodedImage:
    """Decode a PNG, JPEG, WebP, GIF (first frame) or BMP.

    The EXIF orientation is applied, transparency is laid over white, and any other mode becomes
    8-bit RGB. With `resize`, the largest centred square is resampled to 32×32. `name` is what the
    refusals call the picture.

    Raises:
        BrokenImageError: the bytes are empty, no picture in one of these formats, or a broken one.
        ImageSizeError: the picture is not 32×32 and `resize` is off.
        TooLargeError: the picture to resize has more than `MAX_PIXELS`.
    """
    if not content:
        raise BrokenImageError(f"{name} is empty.")
    try:
        # Only these decoders are reachable; the header alone is read here.
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise BrokenImageError(f"{name} is not a picture. Send a {_list(FORMATS)} file.") from error
    except Image.DecompressionBombError as error:
        raise _too_many_pixels(name) from error
    except Exception as error:
        raise _broken(name) from error
    width, height = image.size
    scans = _count_scans(content)
    if scans > MAX_SCANS or scans * width * height > MAX_SCANNED_PIXELS:
        raise BrokenImageError(f"{name} has too many scans ({scans}). Save it as a plain JPEG.")
    if not resize and image.size != SIZE:
        raise ImageSizeError(
            f"{name} is {width}×{height} pixels, and the models take {IMAGE_SIZE}×{IMAGE_SIZE}. "
            "Add ?resize=true to have its centre cropped and resampled."
        )
    if width * height > MAX_PIXELS:
        raise _too_many_pixels(name)
    return DecodedImage(_decode(image, name=name, resize=resize), width, height)


def _count_scans(content: bytes) -> int:
    """Count a JPEG's scans, up to its end; other formats have none.

    The segments are walked, since what lies within them or behind the end may look like a scan.
    """
    scans = 0
    position = 2
    while content.startswith(b"\xff\xd8") and (found := _MARKER.search(content, position)):
        marker = content[found.end() - 1]
        if marker == _END_OF_IMAGE:
            break
        scans += marker == _START_OF_SCAN
        position = found.end() + int.from_bytes(content[found.end() : found.end() + 2])
    return scans


def _decode(image: Image.Image, *, name: str, resize: bool) -> npt.NDArray[np.uint8]:
    try:
        if resize:
            # Let a JPEG decoder skip the detail that the resampling would drop.
            image.draft(None, (4 * IMAGE_SIZE, 4 * IMAGE_SIZE))
        rgb = _to_rgb(ImageOps.exif_transpose(image))
        if resize:
            rgb = ImageOps.fit(rgb, SIZE, Image.Resampling.BICUBIC)
    except Exception as error:  # Pillow's decoders raise many kinds for what is broken in a file
        raise _broken(name) from error
    return np.asarray(rgb)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # 16-bit greyscale, which convert() would clip to white instead of scaling.
        wide = np.asarray(image)
        transparent = image.info.get("transparency")
        image = Image.fromarray((wide >> 8).astype(np.uint8))
        if transparent is not None:
            image.putalpha(Image.fromarray(np.where(wide == transparent, 0, 255).astype(np.uint8)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _broken(name: str) -> BrokenImageError:
    return BrokenImageError(f"{name} is a broken or truncated picture. Send the whole file.")


def _too_many_pixels(name: str) -> TooLargeError:
    return TooLargeError(
        f"{name} has too many pixels: at most {MAX_PIXELS:,} are accepted. Send a smaller picture."
    )


def _list(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
