"""Colors that a file describes by numbers: beside ICC profiles of the same, and Chromium."""

import struct
import zlib
from collections.abc import Mapping

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser

from serving.images.decode import is_small
from tests.serving.image_files import BT_2020, DISPLAY_P3, chunk, encode, icc_profile, pixels, shown

RANDOM = np.random.default_rng(0)
NOISE = RANDOM.integers(0, 256, (32, 32, 3), dtype=np.uint8)
PLAIN_PNG = encode(NOISE, "PNG")
PLAIN_AVIF = encode(
    Image.fromarray(NOISE).resize((4, 4)).resize((32, 32)), "AVIF", quality=100, subsampling="4:4:4"
)
P3_CHRM = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
SRGB_GAMA = struct.pack(">I", 45455)


def png(*chunks: bytes) -> bytes:
    return PLAIN_PNG[:33] + b"".join(chunks) + PLAIN_PNG[33:]


def cicp(*values: int) -> bytes:
    return chunk(b"cICP", bytes(values))


def avif(primaries: int, transfer: int) -> bytes:
    found = b"nclx" + struct.pack(">HH", 1, 13)
    assert PLAIN_AVIF.count(found) == 1
    return PLAIN_AVIF.replace(found, b"nclx" + struct.pack(">HH", primaries, transfer))


def test_a_profile_s_table_of_floats_counts_no_more_than_in_browsers() -> None:
    """It may repeat a step: 2,000 times took 10 seconds, and this one has 20,000."""
    zeros = b"matf" + struct.pack(">IHH12f", 0, 3, 3, *[0.0] * 12)
    steps = 20_000
    where = struct.pack(">II", 16 + 8 * steps, len(zeros)) * steps
    table = b"mpet" + struct.pack(">IHHI", 0, 3, 3, steps) + where + zeros
    content = bytearray(icc_profile(DISPLAY_P3))
    place = content.index(b"cprt", 132)
    struct.pack_into(">4sII", content, place, b"D2B0", len(content), len(table))
    content += table
    struct.pack_into(">I", content, 0, len(content))
    plain, with_table = (
        png(chunk(b"iCCP", b"x\0\0" + zlib.compress(icc)))
        for icc in (icc_profile(DISPLAY_P3), bytes(content))
    )
    assert np.array_equal(pixels(with_table), pixels(plain))
    assert not np.array_equal(pixels(plain), NOISE)
    assert not is_small(plain)  # other tables take longer than small images may


@pytest.mark.parametrize(
    ("columns", "primaries", "chrm"), [(DISPLAY_P3, 12, P3_CHRM), (BT_2020, 9, None)]
)
def test_numbers_mean_what_an_icc_profile_does(
    columns: Mapping[bytes, tuple[float, ...]], primaries: int, chrm: bytes | None
) -> None:
    expected = pixels(encode(NOISE, "PNG", icc_profile=icc_profile(columns)))
    assert np.abs(expected - NOISE).mean() > 8
    assert np.abs(pixels(png(cicp(primaries, 13, 0, 1))) - expected).max() <= 2
    if chrm:
        described = png(chunk(b"gAMA", SRGB_GAMA), chunk(b"cHRM", chrm))
        assert np.abs(pixels(described) - expected).max() <= 2
    plain = Image.fromarray(pixels(PLAIN_AVIF).astype(np.uint8))
    expected = pixels(encode(plain, "PNG", icc_profile=icc_profile(columns)))
    assert np.abs(pixels(avif(primaries, 13)) - expected).max() <= 2


def test_the_chunks_of_a_png_count_in_the_standard_s_order() -> None:
    p3 = cicp(12, 13, 0, 1)
    icc = chunk(b"iCCP", b"2020\0\0" + zlib.compress(icc_profile(BT_2020)))
    srgb = chunk(b"sRGB", b"\0")
    gamma = chunk(b"gAMA", struct.pack(">I", 100_000))
    alone = [pixels(png(one)) for one in (p3, icc, srgb, gamma)]
    assert np.array_equal(alone[2], NOISE)
    chunks = [gamma, srgb, icc, p3]
    for expected in alone:
        assert np.array_equal(pixels(png(*chunks)), expected)
        chunks.pop()
    # sRGB's own numbers count as much as others.
    assert np.array_equal(pixels(png(icc, cicp(1, 13, 0, 1))), NOISE)


@pytest.mark.parametrize(
    "chunks",
    [
        (chunk(b"cICP", bytes((12, 13, 0, 1)), checksum=1),),
        (cicp(12, 13, 0),),
        (cicp(12, 13, 9, 1),),
        (cicp(200, 13, 0, 1),),
        (cicp(2, 2, 0, 1),),
        (chunk(b"gAMA", bytes(4)),),
        (chunk(b"gAMA", struct.pack(">I", 1)),),
        (chunk(b"gAMA", b"\1\0"),),
        (chunk(b"cHRM", P3_CHRM),),
        (chunk(b"gAMA", SRGB_GAMA), chunk(b"cHRM", P3_CHRM[:30])),
        (chunk(b"gAMA", SRGB_GAMA), chunk(b"cHRM", bytes(32))),
        (chunk(b"gAMA", SRGB_GAMA), chunk(b"cHRM", P3_CHRM[:8] + P3_CHRM[8:16] * 3)),
        (chunk(b"gAMA", SRGB_GAMA), chunk(b"cHRM", P3_CHRM[8:16] + P3_CHRM[8:])),
    ],
)
def test_what_says_nothing_changes_nothing(chunks: tuple[bytes, ...]) -> None:
    assert np.array_equal(pixels(png(*chunks)), NOISE)


def test_srgb_and_unknown_numbers_leave_an_avif_as_it_is() -> None:
    plain = pixels(PLAIN_AVIF)
    for primaries, transfer in ((1, 1), (1, 6), (2, 2), (200, 13), (12, 200), (60_000, 13)):
        assert np.array_equal(pixels(avif(primaries, transfer)), plain), (primaries, transfer)
    # 2 is unspecified and stands for sRGB's.
    assert np.array_equal(pixels(avif(12, 2)), pixels(avif(12, 13)))
    assert np.array_equal(pixels(avif(2, 8)), pixels(avif(1, 8)))


def test_only_the_first_image_s_box_counts() -> None:
    p3 = avif(12, 13)
    used = b"\4\1\2\x83\4"  # ipma's: four properties, of which the last is colr
    assert p3.count(used) == 1
    assert np.array_equal(pixels(p3.replace(used, b"\3\1\2\x83\4")), pixels(PLAIN_AVIF))


@pytest.mark.parametrize(("transfer", "white"), [(16, 0.58), (18, 0.75)])
def test_hdr_keeps_its_order_and_its_white(transfer: int, white: float) -> None:
    """`white` is the signal of BT.2408's reference white, 203 cd/m²."""
    ramp = np.repeat(np.arange(256, dtype=np.uint8), 4).reshape(32, 32)
    content = encode(Image.fromarray(ramp), "PNG")
    content = content[:33] + cicp(9, transfer, 0, 1) + content[33:]
    found = pixels(content)
    assert np.ptp(found, axis=-1).max() <= 1  # gray stays gray
    values = found[..., 0].reshape(256, 4)[:, 0]
    assert values[0] == 0
    assert values[255] == 255
    assert (np.diff(values) >= 0).all()
    assert 185 <= values[round(255 * white)] <= 195  # browsers show about 187


def test_colors_are_those_that_chromium_shows(browser: Browser) -> None:
    page = browser.new_page()
    numbers = [(p, 13) for p in (1, 4, 5, 6, 8, 9, 10, 11, 12, 22)]
    numbers += [(1, t) for t in (4, 5, 8, 17)]
    hdr = [(9, 16), (9, 18), (12, 16)]
    images = [("png", png(chunk(b"gAMA", struct.pack(">I", gamma)))) for gamma in (100_000, 55_556)]
    video = [(9, 1), (9, 14), (6, 6), (1, 7)]  # for which an AVIF has another curve
    images += [("avif", avif(*both)) for both in numbers + video]
    images += [("png", png(cicp(*both, 0, 1))) for both in numbers + video + hdr]
    differences = []
    for kind, content in images:
        differences.append(np.abs(pixels(content) - shown(page, kind, content)).mean())
    page.close()
    # How to make room for HDR's highlights is left to each viewer; as stored, they differ by 30.
    limits = [1.0] * (len(images) - len(hdr)) + [8.0] * len(hdr)
    assert (np.array(differences) < limits).all(), differences
