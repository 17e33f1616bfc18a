"""Files of other encoders: parts that are missing, misplaced, cut off, or seldom written."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser

from serving.errors import BrokenImageError, TooLargeError, UnsupportedTypeError
from serving.images.decode import decode
from tests.serving.image_files import (
    RGB,
    TURNED,
    WIDE,
    avif_with_aperture,
    bmp,
    bmp_in_colors,
    bmp_with_profile,
    chunk,
    encode,
    lossless,
    pixels,
    png_of_samples,
    shown,
    webp,
    webp_of,
)

RANDOM = np.random.default_rng(0)
INDICES = RANDOM.integers(0, 16, (32, 32, 1), dtype=np.uint16)
PALETTE = RANDOM.bytes(48)
PLAIN_PNG = encode(RGB, "PNG")


def before_idat(content: bytes, *chunks: bytes) -> bytes:
    start = content.index(b"IDAT") - 4
    return content[:start] + b"".join(chunks) + content[start:]


def after_idat(content: bytes, *chunks: bytes) -> bytes:
    return content[:-12] + b"".join(chunks) + content[-12:]


@pytest.mark.parametrize(
    ("marker", "content"),
    [(0xE0, b"JFIF\0\1"), (0xE0, b"JFIF"), (0xEE, b"Adobe"), (0xEE, b"Adobe\0d\0\0")],
)
def test_a_short_segment_of_a_jpeg_says_nothing(marker: int, content: bytes) -> None:
    plain = encode(RGB, "JPEG")
    segment = bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content
    assert np.array_equal(pixels(plain[:2] + segment + plain[2:]), pixels(plain))


def test_a_jpeg_that_tells_its_height_late_is_named() -> None:
    plain = encode(Image.fromarray(RGB), "JPEG")
    height = plain.index(b"\xff\xc0") + 5
    late = plain[:height] + b"\0\0" + plain[height + 2 : -2] + b"\xff\xdc\0\4\0\x20\xff\xd9"
    for resize in (False, True):
        with pytest.raises(UnsupportedTypeError, match="height after its pixels"):
            decode(late, name="it", resize=resize)


@pytest.mark.parametrize("format_", ["PNG", "BMP", "WEBP"])
def test_an_image_without_pixels_is_broken(format_: str) -> None:
    content = encode(Image.fromarray(RGB), format_, lossless=False)
    place, size = {"PNG": (20, 4), "BMP": (22, 4), "WEBP": (28, 2)}[format_]
    content = content[:place] + bytes(size) + content[place + size :]
    if format_ == "PNG":
        content = content[:8] + chunk(b"IHDR", content[16:29]) + content[33:]
    for resize in (False, True):
        with pytest.raises(BrokenImageError, match="broken"):
            decode(content, name="it", resize=resize)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize("equal", [True, False])
def test_a_wrong_checksum_of_a_png_s_rows_is_ignored(
    depth: int, interlace: int, equal: bool
) -> None:
    shape = (1, 1, 1) if equal else (32, 32, 1)
    samples = RANDOM.integers(0, 2**depth, shape, dtype=np.uint16)
    content = png_of_samples(np.broadcast_to(samples, (32, 32, 1)), depth, 0, interlace)
    expected = pixels(content)
    start = content.index(b"IDAT") + 4
    packed = content[start:-16]  # without the checksum and the end
    for tail in (bytes(4), b"\1\2\3\4and more", b""):
        changed = content[: start - 8] + chunk(b"IDAT", packed[:-4] + tail) + content[-12:]
        assert np.array_equal(pixels(changed), expected)
    if not equal:  # else the rows are a few bytes at the start
        half = packed[: len(packed) // 2]
        with pytest.raises(BrokenImageError, match="broken"):
            pixels(content[: start - 8] + chunk(b"IDAT", half) + content[-12:])


def test_a_profile_of_rgb_says_nothing_about_inks() -> None:
    inks = Image.fromarray(RGB).convert("CMYK")
    assert np.array_equal(
        pixels(encode(inks, "JPEG", icc_profile=WIDE)), pixels(encode(inks, "JPEG"))
    )


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("interlace", [0, 1])
def test_a_png_whose_data_end_after_a_row_is_refused(depth: int, interlace: int) -> None:
    samples = np.full((32, 32, 1), 2**depth - 1, np.uint16)
    black = png_of_samples(samples * 0, depth, 0, interlace)
    assert (pixels(black) == 0).all()  # which is what Pillow makes of missing rows
    content = png_of_samples(samples, depth, 0, interlace)
    start = content.index(b"IDAT")
    packed = content[start + 4 : -16]
    data = zlib.decompress(packed)
    row = 1 + 32 * depth // 8  # the last row of either, with its filter
    for missing in (row, 5 * row):
        cut = chunk(b"IDAT", zlib.compress(data[:-missing]))
        with pytest.raises(BrokenImageError):
            pixels(content[: start - 4] + cut + content[-12:])


@pytest.mark.parametrize(
    "late",
    [
        chunk(b"eXIf", TURNED),
        chunk(b"iCCP", b"p\0\0" + zlib.compress(WIDE)),
        chunk(b"cICP", bytes((9, 13, 0, 1))),
        chunk(b"gAMA", struct.pack(">I", 100_000)),
        chunk(b"tRNS", RGB[0, 0].astype(">u2").tobytes()),
    ],
)
def test_what_follows_the_pixels_of_a_png_changes_nothing(late: bytes) -> None:
    assert np.array_equal(pixels(after_idat(PLAIN_PNG, late)), RGB)
    assert not np.array_equal(pixels(before_idat(PLAIN_PNG, late)), RGB)


@pytest.mark.parametrize(
    ("color", "wrong"),
    [(0, b""), (0, b"\0"), (0, bytes(3)), (2, bytes(4)), (3, b""), (3, bytes(300)), (4, bytes(2))],
)
def test_a_broken_transparency_is_none(color: int, wrong: bytes) -> None:
    samples = INDICES.repeat({2: 3, 4: 2}.get(color, 1), axis=2)
    palette = [chunk(b"PLTE", PALETTE)] if color == 3 else []
    expected = pixels(png_of_samples(samples, 8, color, 0, *palette))
    assert np.array_equal(
        pixels(png_of_samples(samples, 8, color, 0, *palette, chunk(b"tRNS", wrong))), expected
    )


def test_a_transparency_with_a_wrong_checksum_or_before_its_palette_is_none() -> None:
    palette = chunk(b"PLTE", PALETTE)
    expected = pixels(png_of_samples(INDICES, 4, 3, 0, palette))
    right = chunk(b"tRNS", bytes(16))
    assert (pixels(png_of_samples(INDICES, 4, 3, 0, palette, right)) == 255).all()
    for chunks in ((right, palette), (palette, chunk(b"tRNS", bytes(16), checksum=1))):
        assert np.array_equal(pixels(png_of_samples(INDICES, 4, 3, 0, *chunks)), expected)


@pytest.mark.parametrize(
    "chunks",
    [
        (),
        (chunk(b"PLTE", b""),),
        (chunk(b"PLTE", PALETTE[:47]),),
        (chunk(b"PLTE", bytes(771)),),
        (chunk(b"PLTE", PALETTE), chunk(b"PLTE", PALETTE[::-1])),
        (chunk(b"PLTE", PALETTE), chunk(b"ABCD", b"what it changes")),
    ],
)
def test_a_png_that_leaves_its_colors_open_is_refused(chunks: tuple[bytes, ...]) -> None:
    with pytest.raises(BrokenImageError):
        pixels(png_of_samples(INDICES, 4, 3, 0, *chunks))


def animated_webp(flags: int) -> bytes:
    """Write a WebP whose only frame has 20×16 pixels, 4 from the left and 8 from the top."""
    places = b"".join(value.to_bytes(3, "little") for value in (4 // 2, 8 // 2, 20 - 1, 16 - 1, 9))
    frame = places + b"\0" + lossless(RGB[:16, :20])
    return webp_of(flags, (b"ANIM", bytes(6)), (b"ANMF", frame))


def test_a_webp_announces_what_counts() -> None:
    metadata = ((b"EXIF", TURNED), (b"ICCP", WIDE))
    turned = np.rot90(RGB, -1)
    converted = pixels(encode(RGB, "PNG", icc_profile=WIDE))
    assert np.array_equal(pixels(webp(0, *metadata)), RGB)
    assert np.array_equal(pixels(webp(0b1000, *metadata)), turned)
    assert np.array_equal(pixels(webp(0b100000, *metadata)), converted)


@pytest.mark.parametrize("size", [16, 20, 24, 36, 48, 64])
def test_a_header_of_os2_may_end_after_any_field(size: int) -> None:
    entries = RANDOM.integers(0, 256, (256, 4), dtype=np.uint8)
    indices = RANDOM.integers(0, 256, (32, 32), dtype=np.uint8)
    header = struct.pack("<H", 8).ljust(size - 14, b"\0")
    found = pixels(bmp(header, entries.tobytes(), indices[::-1].tobytes()))
    assert np.array_equal(found, entries[indices][..., 2::-1])
    with pytest.raises(BrokenImageError):
        pixels(bmp(header, b"", b"")[: 14 + size - 1])


CALIBRATED = bytes(4)
# Display P3's primaries, a gamma of 1.6 for each, and what a header ends with.
NUMBERS = b"".join(
    struct.pack("<3I", round(x * 2**30), round(y * 2**30), 0)
    for x, y in ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06))
)
NUMBERS += struct.pack("<3I", *[round(1.6 * 2**16)] * 3) + bytes(16)


def test_the_colors_of_a_bmp() -> None:
    converted = pixels(encode(RGB, "PNG", icc_profile=WIDE))
    assert np.array_equal(pixels(bmp_with_profile(WIDE)), converted)

    # Like Chromium, we ignore numbers, in which files are often wrong.
    for space in (b"BGRs", CALIBRATED):
        assert np.array_equal(pixels(bmp_in_colors(space, NUMBERS)), RGB)


def test_chromium_ignores_the_same(browser: Browser) -> None:
    transparent = np.dstack([RGB, RGB[..., 0]])
    assert np.abs(pixels(webp(0b10000, image=transparent)) - RGB).mean() > 5
    no_profile = chunk(b"iCCP", b"junk\0\0" + zlib.compress(b"junk" * 50))
    gamma = chunk(b"gAMA", struct.pack(">I", 100_000))
    in_part = Image.new("RGBA", (32, 32))
    in_part.paste(Image.fromarray(RGB[:16, :20]), (4, 8))
    page = browser.new_page()
    for kind, content, alike in (
        ("bmp", bmp_in_colors(CALIBRATED, NUMBERS), PLAIN_PNG),
        ("webp", webp(0, image=transparent), PLAIN_PNG),
        ("webp", animated_webp(0b10), encode(in_part, "PNG")),
        ("png", before_idat(PLAIN_PNG, no_profile, gamma), before_idat(PLAIN_PNG, gamma)),
    ):
        assert np.array_equal(pixels(content), pixels(alike)), kind
        assert np.abs(shown(page, kind, content) - pixels(content)).max() <= 1, kind
    page.close()


def test_only_the_pixels_of_a_huge_image_are_blamed() -> None:
    huge = bmp(struct.pack("<H", 24) + bytes(24), b"", b"", height=-(2**31))
    with pytest.raises(TooLargeError, match="too many pixels"):
        decode(huge, name="it", resize=True)


def test_an_avif_shows_its_aperture_alone() -> None:
    whole = decode(avif_with_aperture(*[1, 0] * 4), name="it", resize=True)
    assert (whole.width, whole.height) == (64, 48)
    for right, down in ((-16, -8), (0, 0), (3, -5)):  # of the center
        content = avif_with_aperture(32, 1, 32, 1, right, 1, down, 1)
        left, top = 16 + right, 8 + down
        expected = np.asarray(Image.fromarray(RGB).resize((64, 48)))[
            top : top + 32, left : left + 32
        ]
        assert np.abs(pixels(content) - expected).mean() < 3
    for outside in (
        (65, 1, 32, 1, 0, 1, 0, 1),
        (32, 1, 32, 1, 20, 1, 0, 1),
        (33, 2, 32, 1, 0, 1, 0, 1),
    ):
        ignored = decode(avif_with_aperture(*outside), name="it", resize=True)
        assert (ignored.width, ignored.height) == (64, 48)


def test_the_pixels_around_an_aperture_count() -> None:
    content = avif_with_aperture(32, 1, 32, 1, 0, 1, 0, 1)
    assert decode(content, name="it", resize=False, max_pixels=64 * 48)
    with pytest.raises(TooLargeError, match="at most 3,071"):
        decode(content, name="it", resize=False, max_pixels=64 * 48 - 1)
