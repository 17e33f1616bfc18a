"""Decoding, against images that Pillow writes in every accepted format and mode."""

import base64
import struct
import zlib
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
from serving.images.decode import MAX_PIXELS, decode
from tests.serving.image_files import chunk, encode, pixels

GRADIENT = np.add.outer(np.arange(32) * 4, np.arange(32) * 4).astype(np.uint8)
RGB = np.dstack([GRADIENT, GRADIENT[::-1], 255 - GRADIENT])


@pytest.mark.parametrize(
    ("format_", "options"),
    [("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True})],
)
def test_lossless_formats_are_decoded_exactly(format_: str, options: dict[str, Any]) -> None:
    assert np.array_equal(pixels(encode(RGB, format_, **options)), RGB)


def test_lossy_formats_are_decoded_closely() -> None:
    for format_, options in (("JPEG", {"quality": 95}), ("GIF", {}), ("WEBP", {"quality": 95})):
        found = pixels(encode(RGB, format_, **options))
        assert np.abs(found - RGB).mean() < 12, format_


def test_grayscale_becomes_three_equal_channels() -> None:
    found = pixels(encode(Image.fromarray(GRADIENT), "PNG"))
    assert np.array_equal(found, np.dstack([GRADIENT] * 3))


def test_sixteen_bit_grayscale_is_scaled_not_clipped() -> None:
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


def test_resize_crops_the_center() -> None:
    wide = Image.new("RGB", (96, 32), "red")
    wide.paste((0, 0, 255), (32, 0, 64, 32))
    content = encode(wide, "PNG")
    with pytest.raises(ImageSizeError, match="96×32"):
        decode(content, name="it", resize=False)
    assert (pixels(content, resize=True) == (0, 0, 255)).all()


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    bomb = encode(Image.new("1", (MAX_PIXELS // 1000 + 1, 1000)), "PNG")
    with pytest.raises(TooLargeError, match="too many pixels"):
        decode(bomb, name="it", resize=True)


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_a_truncated_file_is_refused(format_: str) -> None:
    content = encode(RGB, format_)
    for length in range(len(content) // 2):
        with pytest.raises(BrokenImageError, match="it is "):
            decode(content[:length], name="it", resize=False)


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
@pytest.mark.parametrize("resize", [False, True])
def test_a_file_that_was_read_as_text_is_told_so(format_: str, resize: bool) -> None:
    """As gateways that take a body for UTF-8, and clients that read files as strings, do."""
    content = encode(Image.fromarray(RGB), format_)
    damaged = [content.decode("utf-8", "replace").encode()]
    damaged.append(damaged[0][:-1])  # the last character cut
    if format_ in {"PNG", "JPEG"}:
        damaged += [content.decode("latin-1").encode()]
        damaged += [content.decode("cp1252", "replace").encode()]
    for changed in damaged:
        with pytest.raises(BrokenImageError, match=r"^it was converted to text.*as binary data"):
            decode(changed, name="it", resize=resize)


def test_other_formats_are_named() -> None:
    for content, named in (
        (encode(RGB, "TIFF"), "a TIFF file"),
        (encode(RGB, "PPM"), "a PNM file"),
        (encode(RGB, "ICO"), "an ICO file"),
        (encode(RGB, "JPEG2000"), "a JPEG 2000 file"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC file"),
        (b"\0\0\0\x14ftypisom\0\0\0\0mp42", "an MP4 video file"),
        (b"\xff\x0a\xfa\x1f", "a JPEG XL file"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL file"),
        (b'<?xml version="1.0"?>\n<!-- a -->\n<svg width="1"/>', "an SVG file"),
        (b"%PDF-1.7\n", "a PDF file"),
        (b"\n<!DOCTYPE html><title>Not found</title>", "an HTML file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git LFS pointer file"),
        (base64.b64encode(encode(RGB, "PNG")), "a base64 text file"),
        (b"data:image/png;base64,iVBORw0KGgo=", "a base64 text file"),
        (b'\xef\xbb\xbf{ "image": 1}', "a JSON file"),
        (b"[[0, 255]]", "a JSON file"),
        (b"{\\rtf1\\ansi a picture}", "an RTF file"),
        (jpeg_of_bits(12), "a JPEG file with 12 bits"),
        (jpeg_of_bits(8).replace(b"\xff\xc0", b"\xff\xc3"), "a lossless JPEG file"),
        (apple_png(), "Apple's variant"),
    ):
        with pytest.raises(UnsupportedTypeError, match=f"^it is .*{named}.* PNG, JPEG"):
            decode(content, name="it", resize=False)
    as_text = r"^it is the text '\[object Object\]'.*the file's bytes"
    with pytest.raises(BrokenImageError, match=as_text):
        decode(b"[object Object]", name="it", resize=False)
    texts = (b"[section]\nkey = 1", b"{{ name }}", "Übergröße".encode())
    for content in (b"hello", *texts, bytes(100), encode(RGB, "TGA")):
        with pytest.raises(BrokenImageError, match=r"^it is not an image\."):
            decode(content, name="it", resize=False)


def jpeg_of_bits(bits: int) -> bytes:
    content = bytearray(encode(RGB, "JPEG"))
    content[content.index(b"\xff\xc0") + 4] = bits
    return bytes(content)


def apple_png() -> bytes:
    content = encode(RGB, "PNG")
    return content[:8] + struct.pack(">I", 4) + b"CgBIP\0 \2\x2b\xd5\xb3\x7f" + content[8:]


def bmp(depth: int, rows: list[bytes], *, table: bytes = b"", masks: tuple[int, ...] = ()) -> bytes:
    """Write a BMP of 32×32 pixels, its rows from the top; masks are in a BITMAPV4HEADER."""
    size = 108 if masks else 40
    start = 14 + size + len(table)
    header = struct.pack(
        "<IiiHHIIiiII", size, 32, -32, 1, depth, 3 if masks else 0, 0, 0, 0, len(table) // 4, 0
    )
    header += struct.pack("<4I", *masks) if masks else b""
    header = header.ljust(size, b"\0")
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, start) + header + table + b"".join(rows)


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("colors", ["black and white", "dark grays", "random"])
def test_the_color_table_of_a_bmp_counts_at_every_depth(depth: int, colors: str) -> None:
    chosen = np.random.default_rng(depth)
    indices = chosen.integers(0, 2, (32, 32), dtype=np.uint8)
    table = {
        "black and white": np.array([[0, 0, 0], [255, 255, 255]]),
        "dark grays": np.array([[0, 0, 0], [1, 1, 1]]),
        "random": chosen.integers(0, 256, (2, 3)),
    }[colors].astype(np.uint8)
    bits = np.unpackbits(indices[..., None], axis=-1)[..., 8 - depth :].reshape(32, -1)
    entries = b"".join(bytes((*color[::-1], 0)) for color in table)
    content = bmp(depth, [row.tobytes() for row in np.packbits(bits, axis=1)], table=entries)
    assert np.array_equal(pixels(content), table[indices])


@pytest.mark.parametrize(
    ("depth", "masks"),
    [
        (16, (0xF00, 0xF0, 0xF, 0)),
        (16, (0x7C00, 0x3E0, 0x1F, 0)),
        (16, (0xF800, 0x7E0, 0x1F, 0)),
        (32, (0xFF0000, 0xFF00, 0xFF, 0)),
        (32, (0xFF, 0xFF00, 0xFF0000, 0)),
        (32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000)),  # of alpha 0 throughout: meant as opaque
        (32, (0x3FF00000, 0xFFC00, 0x3FF, 0)),
    ],
)
def test_the_masks_of_a_bmp(depth: int, masks: tuple[int, ...]) -> None:
    samples = np.zeros((32, 32), np.uint32)
    expected = np.zeros((32, 32, 3), int)
    for channel, mask in enumerate(masks[:3]):
        low = mask & -mask
        values = RGB[..., channel].astype(np.uint32) * (mask // low) // 255
        samples += values * low
        expected[..., channel] = np.round(values * 255 / (mask // low))
    rows = [row.astype(f"<u{depth // 8}").tobytes() for row in samples]
    assert np.abs(pixels(bmp(depth, rows, masks=masks)) - expected).max() <= 1


def test_a_frame_that_covers_a_part_of_a_gif() -> None:
    content = bytearray(encode(Image.new("P", (16, 16), 1), "GIF"))
    content[6:10] = struct.pack("<HH", 32, 32)
    frame = content.index(b"," + bytes(4))
    content[frame + 1 : frame + 5] = struct.pack("<HH", 8, 4)
    found = pixels(bytes(content))
    inside = found[4:20, 8:24]
    assert (inside == inside[0, 0]).all()
    found[4:20, 8:24] = 255
    assert (found == 255).all()


def with_odd_tags(orientation: int) -> bytes:
    """Return an Exif block with tags of wrong types and values beyond its end."""
    entries = [
        struct.pack("<HHII", 0x010F, 99, 7, 0),  # no such type
        struct.pack("<HHII", 0x0110, 2, 2**31, 2**31),  # a text that is not there
        struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0),
        struct.pack("<HHIf", 0x011A, 11, 1, 72.0),  # a float where a rational belongs
        struct.pack("<HHII", 0x8769, 4, 1, 2**32 - 1),  # a directory beyond the end
    ]
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + b"".join(entries)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_the_orientation_is_read_whatever_else_exif_holds(format_: str) -> None:
    options = {"quality": 100, "lossless": True, "exif": with_odd_tags(6)}
    wide = Image.fromarray(RGB).resize((48, 32))
    decoded = decode(encode(wide, format_, **options), name="it", resize=True)
    assert (decoded.width, decoded.height) == (32, 48)  # as displayed
    found = pixels(encode(RGB, format_, **options))
    assert np.abs(found - np.rot90(RGB, -1)).mean() < 4
    junk = encode(RGB, format_, **{**options, "exif": b"Exif\0\0junk" * 9})
    assert np.abs(pixels(junk) - RGB).mean() < 4


@pytest.mark.parametrize(
    "ancillary",
    [
        chunk(b"pHYs", bytes(9), checksum=1),
        chunk(b"pHYs", b"short"),
        chunk(b"gAMA", b""),
        chunk(b"iCCP", b"p\0\1" + zlib.compress(b"profile")),
        chunk(b"iCCP", b"p\0\0junk"),
        chunk(b"iTXt", b"XML\0\1\0\0\0" + zlib.compress(bytes(2**22))),
        chunk(b"zTXt", b"prompt\0\0" + zlib.compress(bytes(2**22))),
        chunk(b"eXIf", b"junk"),
        chunk(b"acTL", bytes(3)),
    ],
)
def test_what_lies_beside_the_pixels_of_a_png_refuses_none(ancillary: bytes) -> None:
    content = encode(RGB, "PNG")
    assert np.array_equal(pixels(content[:33] + ancillary + content[33:]), RGB)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_may_lack_its_end_marker_but_no_pixels(progressive: bool) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    content = encode(noise, "JPEG", progressive=progressive, quality=90)
    whole = pixels(content)
    for end in (b"", b"\xff", b"\0" * 40, b"trailer \xff\x05\xff\xda"):
        assert np.array_equal(pixels(content[:-2] + end), whole)
    # A video behind the end of a still.
    assert np.array_equal(pixels(content + b"ftypmp42" + b"\xff\xda\0\x0c" * 500), whole)
    # Cut within a scan, between two, and within the header of one.
    last = content.rindex(b"\xff\xda")
    for end in (
        len(content) - 40,
        3 * len(content) // 4,
        *((last, last + 5) if progressive else ()),
    ):
        with pytest.raises(BrokenImageError):
            pixels(content[:end])


def test_the_length_of_a_webp_may_be_wrong() -> None:
    content = encode(RGB, "WEBP", lossless=True)
    for change in (-1, 1, 100):
        length = struct.unpack_from("<I", content, 4)[0] + change
        assert np.array_equal(pixels(content[:4] + struct.pack("<I", length) + content[8:]), RGB)


def test_avif_is_read() -> None:
    found = pixels(encode(RGB, "AVIF", quality=95, subsampling="4:4:4"))
    assert np.abs(found - RGB).mean() < 3
