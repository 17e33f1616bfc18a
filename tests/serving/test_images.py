"""Decoding, against pictures that Pillow writes in every accepted format and mode."""

import base64
import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image

from serving.errors import (
    BrokenImageError,
    ImageSizeError,
    TooLargeError,
    UnsupportedTypeError,
)
from serving.images import MAX_PIXELS, decode

GRADIENT = np.add.outer(np.arange(32) * 4, np.arange(32) * 4).astype(np.uint8)
RGB = np.dstack([GRADIENT, GRADIENT[::-1], 255 - GRADIENT])


def encode(image: Image.Image, format_: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def pixels(content: bytes, *, resize: bool = False) -> np.ndarray:
    decoded = decode(content, name="it", resize=resize).pixels
    assert decoded.shape == (32, 32, 3)
    assert decoded.dtype == np.uint8
    return decoded.astype(int)


@pytest.mark.parametrize(
    ("format_", "options"),
    [("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True})],
)
def test_lossless_formats_are_decoded_exactly(format_: str, options: dict[str, Any]) -> None:
    assert np.array_equal(pixels(encode(Image.fromarray(RGB), format_, **options)), RGB)


def test_lossy_formats_are_decoded_closely() -> None:
    for format_, options in (("JPEG", {"quality": 95}), ("GIF", {}), ("WEBP", {"quality": 95})):
        found = pixels(encode(Image.fromarray(RGB), format_, **options))
        assert np.abs(found - RGB).mean() < 12, format_


def test_greyscale_becomes_three_equal_channels() -> None:
    found = pixels(encode(Image.fromarray(GRADIENT), "PNG"))
    assert np.array_equal(found, np.dstack([GRADIENT] * 3))


def test_sixteen_bit_greyscale_is_scaled_not_clipped() -> None:
    sixteen = Image.fromarray(GRADIENT.astype(np.uint16) * 257)
    found = pixels(encode(sixteen, "PNG"))
    assert np.array_equal(found, np.dstack([GRADIENT] * 3))


def test_cmyk_becomes_rgb() -> None:
    found = pixels(encode(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "JPEG"))
    assert np.abs(found - (255, 0, 0)).max() < 6


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_over_white(mode: str) -> None:
    if mode == "P":
        image = Image.new("P", (32, 32), 0)
        image.putpalette([0, 0, 0])
        content = encode(image, "PNG", transparency=0)
    else:
        content = encode(Image.new(mode, (32, 32), 0), "PNG")
    assert (pixels(content) == 255).all()


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    content = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (pixels(content) == (255, 0, 0)).all()


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90° clockwise to show
    found = pixels(encode(Image.fromarray(RGB), "PNG", exif=exif))
    assert np.array_equal(found, np.rot90(RGB, -1))


def test_resize_crops_the_centre() -> None:
    wide = Image.new("RGB", (96, 32), "red")
    wide.paste((0, 0, 255), (32, 0, 64, 32))
    content = encode(wide, "PNG")
    with pytest.raises(ImageSizeError, match=r"96×32.*\?resize=true"):
        decode(content, name="it", resize=False)
    assert (pixels(content, resize=True) == (0, 0, 255)).all()


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    bomb = encode(Image.new("1", (MAX_PIXELS // 1000 + 1, 1000)), "PNG")
    with pytest.raises(TooLargeError, match="too many pixels"):
        decode(bomb, name="it", resize=True)


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_a_truncated_file_is_refused(format_: str) -> None:
    content = encode(Image.fromarray(RGB), format_)
    for length in range(len(content) // 2):
        with pytest.raises(BrokenImageError, match="it is "):
            decode(content[:length], name="it", resize=False)


def test_other_formats_are_named() -> None:
    for content, named in (
        (encode(Image.fromarray(RGB), "TIFF"), "a TIFF file"),
        (encode(Image.fromarray(RGB), "PPM"), "a PNM file"),
        (encode(Image.fromarray(RGB), "ICO"), "an ICO file"),
        (encode(Image.fromarray(RGB), "JPEG2000"), "a JPEG 2000 file"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC file"),
        (b"\0\0\0\x14ftypisom\0\0\0\0mp42", "an MP4 video file"),
        (b"\xff\x0a\xfa\x1f", "a JPEG XL file"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL file"),
        (b'<?xml version="1.0"?>\n<!-- a -->\n<svg width="1"/>', "an SVG file"),
        (b"%PDF-1.7\n", "a PDF file"),
        (b"\n<!DOCTYPE html><title>Not found</title>", "an HTML file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git LFS pointer file"),
        (base64.b64encode(encode(Image.fromarray(RGB), "PNG")), "a base64 text file"),
        (b"data:image/png;base64,iVBORw0KGgo=", "a base64 text file"),
        (jpeg_of_bits(12), "a JPEG file of 12 bits"),
        (jpeg_of_bits(8).replace(b"\xff\xc0", b"\xff\xc3"), "a lossless JPEG file"),
        (apple_png(), "Apple's own variant"),
    ):
        with pytest.raises(UnsupportedTypeError, match=f"^it is .*{named}.* PNG, JPEG"):
            decode(content, name="it", resize=False)
    for content in (b"hello", bytes(100), encode(Image.fromarray(RGB), "TGA")):
        with pytest.raises(BrokenImageError, match=r"^it is not an image\."):
            decode(content, name="it", resize=False)


def jpeg_of_bits(bits: int) -> bytes:
    content = bytearray(encode(Image.fromarray(RGB), "JPEG"))
    content[content.index(b"\xff\xc0") + 4] = bits
    return bytes(content)


def apple_png() -> bytes:
    content = encode(Image.fromarray(RGB), "PNG")
    return content[:8] + struct.pack(">I", 4) + b"CgBIP\0 \2\x2b\xd5\xb3\x7f" + content[8:]
