"""Thousands of broken images: each is refused in a sentence, or decoded, and none takes long."""

import io
import random
import struct
import time
import tracemalloc
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from serving.errors import (
    BrokenImageError,
    ImageSizeError,
    TooLargeError,
    UnsupportedTypeError,
)
from serving.images.decode import FORMATS, decode
from tests.helpers import check_problem, run_python
from tests.serving.image_files import (
    TURNED,
    WIDE,
    avif_with_aperture,
    bmp_with_profile,
    chunk,
    encode,
    png_of,
    webp,
)

REFUSALS = (BrokenImageError, TooLargeError, ImageSizeError, UnsupportedTypeError)
PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def seeds() -> Iterator[bytes]:
    """Good images in every accepted format and the modes that each takes."""
    image = Image.fromarray(PIXELS)
    for format_, modes in {
        "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
        "JPEG": ("L", "RGB", "CMYK"),
        "WEBP": ("RGB", "RGBA"),
        "GIF": ("P", "L"),
        "BMP": ("1", "L", "P", "RGB"),
        "AVIF": ("L", "RGB", "RGBA"),
    }.items():
        for mode in modes:
            yield encode(image.convert(mode), format_)
    yield avif_with_aperture(32, 1, 32, 1, 0, 1, 0, 1)
    yield webp(0b0011_1000, (b"EXIF", TURNED), (b"ICCP", WIDE))
    yield bmp_with_profile(WIDE)


SEEDS = list(seeds())


def decode_or_refusal(content: bytes, *, resize: bool) -> np.ndarray | str:
    try:
        return decode(content, name="it", resize=resize).pixels
    except REFUSALS as refusal:
        return str(refusal)


def check(content: bytes) -> None:
    """Decode or refuse, in a second of work, with and without resizing."""
    for resize in (False, True):
        begun = time.thread_time()
        outcome = decode_or_refusal(content, resize=resize)
        if isinstance(outcome, str):
            assert outcome.startswith("it ")
        else:
            assert outcome.shape == (32, 32, 3)
            assert outcome.dtype == np.uint8
        assert time.thread_time() - begun < 1


def test_every_seed_is_an_image() -> None:
    assert len(SEEDS) == 24
    for content in SEEDS:
        assert decode(content, name="it", resize=False).pixels.shape == (32, 32, 3)


def test_images_cut_at_every_length() -> None:
    for content in SEEDS:
        for length in range(0, len(content), max(1, len(content) // 100)):
            check(content[:length])


def test_images_with_flipped_bytes() -> None:
    chosen = random.Random(0)
    for content in SEEDS:
        for _ in range(60):
            broken = bytearray(content)
            for _ in range(chosen.randint(1, 8)):
                # Headers are short and decide most, so half of the flips hit them.
                end = len(broken) if chosen.random() < 0.5 else min(64, len(broken))
                broken[chosen.randrange(end)] = chosen.randrange(256)
            check(bytes(broken))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SEEDS), st.integers(0, 200), st.binary(max_size=40))
def test_images_with_bytes_put_in(content: bytes, place: int, inserted: bytes) -> None:
    check(content[:place] + inserted + content[place:])


@pytest.mark.parametrize(
    ("width", "height"), [(0, 0), (0, 32), (2**31 - 1, 2**31 - 1), (60_000, 60_000), (2**30, 1)]
)
def test_headers_that_lie(width: int, height: int) -> None:
    data = chunk(b"IDAT", zlib.compress(bytes(32 * 97)))
    check(png_of(width, height, 8, 2, 0, data))
    check(b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, min(width, 2**31 - 1),
          -min(height, 2**31 - 1), 1, 24, 0, 0, 0, 0, 0, 0))  # fmt: skip
    check(b"GIF89a" + struct.pack("<HHBBB", width % 65536, height % 65536, 0, 0, 0) + b";")


def test_a_decompression_bomb_is_not_unpacked() -> None:
    packed = zlib.compress(bytes(300 * 2**20), 9)  # 300 MiB of zeros in 300 kB
    pixels = png_of(32, 32, 8, 2, 0, chunk(b"IDAT", packed))
    text = pixels[:33] + chunk(b"zTXt", b"comment\0\0" + packed) + SEEDS[4][33:]
    profile = pixels[:33] + chunk(b"iCCP", b"profile\0\0" + packed) + SEEDS[4][33:]
    tracemalloc.start()
    for bomb in (pixels, text, profile):
        check(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * 2**20
    with pytest.raises(TooLargeError, match="too many pixels"):
        decode(png_of(10_000, 10_000, 8, 2, 0, chunk(b"IDAT", packed)), name="it", resize=True)


def test_a_frame_beyond_a_gif_s_screen_takes_no_memory() -> None:
    """Pillow would fill the frame's pixels for what comes after it."""
    code = """
import resource, struct
from serving.errors import ImageSizeError
from serving.images.decode import decode
rss = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
gif = b"GIF89a" + struct.pack("<HHBBB", 32, 32, 0x80, 0, 0) + bytes(6)
gif += bytes((0x21, 0xF9, 4, 2 << 2, 0, 0, 0, 0))
gif += b"," + struct.pack("<4HB", 0, 0, 13000, 13000, 0)
before = rss()
try:
    decode(gif + bytes((2, 1, 0, 0)) + b";", name="it", resize=False)
except ImageSizeError:
    print(rss() - before)
"""
    assert int(run_python("-c", code).stdout) < 50_000  # KiB


def test_an_image_of_many_scans_is_refused() -> None:
    progressive = encode(PIXELS, "JPEG", progressive=True)
    scan = progressive.index(b"\xff\xda")
    many = progressive[:scan] + progressive[scan:-2] * 100
    # With an index of the images in the file, Pillow calls it MPO.
    index = encode(PIXELS, "MPO", save_all=True, append_images=[Image.new("L", (8, 8))])
    start = index.index(b"\xff\xe2")
    end = start + 2 + int.from_bytes(index[start + 2 :][:2])
    indexed = many[:2] + index[start:end] + many[2:]
    assert Image.open(io.BytesIO(indexed)).format == "MPO"
    for content in (many, indexed):
        with pytest.raises(BrokenImageError, match="too many scans"):
            decode(content, name="it", resize=False)
    # A camera's video behind the end may look like anything.
    decode(progressive + b"\xff\xda" * 3000, name="it", resize=False)


def test_scans_cost_what_their_pixels_cost() -> None:
    progressive = encode(Image.new("L", (5000, 5000)), "JPEG", progressive=True)
    scan = progressive.rindex(b"\xff\xda")
    with pytest.raises(BrokenImageError, match="too many scans"):
        decode(progressive[:-2] + progressive[scan:-2] * 50, name="it", resize=True)


def test_many_large_images_in_one_request_are_refused(server: str) -> None:
    large = encode(Image.new("RGB", (4000, 4000)), "PNG", compress_level=1)
    files = [("image", ("a.png", large))] * 4
    response = requests.post(f"{server}/predict?resize=true", files=files)
    check_problem(response, 413, "pixels in total")


def test_formats_that_are_not_accepted_reach_no_decoder() -> None:
    Image.init()  # this test registers every decoder that Pillow has
    image = Image.fromarray(PIXELS)
    others = sorted({*Image.SAVE} - {name.upper() for name in FORMATS})
    tried = 0
    for format_ in others:
        try:
            content = encode(image, format_)
        except (OSError, ValueError, KeyError, AttributeError):
            continue  # it takes no such image, or a library that is not here
        if content[:2] == b"\xff\xd8":
            continue  # MPO, which is a JPEG
        tried += 1
        with pytest.raises((BrokenImageError, UnsupportedTypeError), match=r"it is .*\bBMP\b"):
            decode(content, name="it", resize=False)
    assert tried > 10


def test_odd_requests_get_a_problem(server: str) -> None:
    url = f"{server}/predict"
    png = SEEDS[4]
    part = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    for body, headers, status in (
        (part.replace(b"name=", b"nom=") + png + b"\r\n--x--", form, 400),
        (b"--x\r\n" + b"A: " + b"b" * 100_000 + b"\r\n\r\n", form, 400),
        (png, {"Content-Type": "text/html"}, 415),
        (b"<svg/>", {"Content-Type": "image/svg+xml"}, 415),
        (b"GIF89a" + png, {}, 400),
        (b"%PDF-1.7\n" + png, {}, 415),
        (b"PK\x03\x04" + png, {"Content-Type": "application/zip"}, 415),
        (b"\n" * 4095 + b"!", {}, 400),  # for which a careless pattern takes cubic time
    ):
        check_problem(requests.post(url, data=body, headers=headers), status)
    # An image with something behind it is an image.
    assert requests.post(url, data=png + b"<script>").status_code == 200
