"""Content codings of bodies and answers, with requests, curl's formats and Triton's client."""

import gzip
import zlib
from collections.abc import Callable
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pytest
import requests
import tritonclient.http as triton

from serving.protocol import HEADER_LENGTH
from serving.settings import Settings
from tests.helpers import check_problem, png, upload
from tests.serving.inference import image_input

MAX_BODY = Settings().max_body


def bare_deflate(content: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(content) + compressor.flush()


def in_members(content: bytes) -> bytes:
    return gzip.compress(content[:100]) + gzip.compress(b"") + gzip.compress(content[100:])


@pytest.mark.parametrize(
    ("coding", "compress"),
    [
        ("gzip", gzip.compress),
        ("GZIP", in_members),
        ("deflate", zlib.compress),
        ("deflate", bare_deflate),
        ("identity", bytes),
    ],
)
def test_a_compressed_body_is_answered_as_the_plain_one(
    server: str,
    image: npt.NDArray[np.uint8],
    coding: str,
    compress: Callable[[bytes], bytes],
) -> None:
    url = f"{server}/predict"
    files = upload(("a.png", png(image)), ("b.png", png(image)))
    form = requests.Request("POST", url, files=files).prepare()
    plain = requests.post(url, files=files).json()
    assert len(plain["predictions"]) == 2
    assert isinstance(form.body, bytes)
    body = compress(form.body)
    headers = {"Content-Type": form.headers["Content-Type"], "Content-Encoding": coding}
    # At once, and in chunks, as a client sends what it compresses on the way.
    for data in (body, iter([body[:10], body[10:]])):
        assert requests.post(url, data=data, headers=headers).json() == plain


def test_a_bomb_is_refused(server: str) -> None:
    for content in (bytes(MAX_BODY + 1), bytes(16 * MAX_BODY)):
        bomb = gzip.compress(content)
        assert len(bomb) < MAX_BODY
        response = requests.post(
            f"{server}/predict", data=bomb, headers={"Content-Encoding": "gzip"}
        )
        check_problem(response, 413, "8 MiB", "decompressed")
    members = gzip.compress(b"") * 100_000
    response = requests.post(
        f"{server}/predict", data=members, headers={"Content-Encoding": "gzip"}
    )
    check_problem(response, 400, "has no image")


def test_what_is_not_as_declared_is_refused(server: str, image: npt.NDArray[np.uint8]) -> None:
    packed = gzip.compress(png(image))
    for coding, body, status, words in (
        ("gzip", png(image), 400, "Invalid gzip body"),
        ("gzip", packed[:-20], 400, "Truncated gzip body"),
        ("gzip", packed + b"more", 400, "Invalid gzip body"),
        ("deflate", packed, 400, "Invalid deflate body"),
        ("br", packed, 415, "'br'"),
        ("gzip, gzip", gzip.compress(packed), 415, "'gzip, gzip'"),
    ):
        response = requests.post(
            f"{server}/predict", data=body, headers={"Content-Encoding": coding}
        )
        check_problem(response, status, words)
        if status == 415:
            assert response.headers["Accept-Encoding"] == "gzip, deflate"


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_tritons_client_compresses_both_ways(server: str, coding: str, binary: bool) -> None:
    images = np.random.default_rng(0).integers(0, 256, (128, 32, 32, 3), dtype=np.uint8)
    client = triton.InferenceServerClient(urlsplit(server).netloc)
    outputs = [triton.InferRequestedOutput("probabilities", binary_data=binary)]
    inputs = [image_input(images, binary=True)]
    plain = client.infer("first", inputs, outputs=outputs)
    packed = client.infer(
        "first",
        inputs,
        outputs=outputs,
        request_compression_algorithm=coding,
        response_compression_algorithm=coding,
    )
    np.testing.assert_allclose(
        packed.as_numpy("probabilities"), plain.as_numpy("probabilities"), atol=2e-5
    )


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_binary_answers_are_compressed(server: str, coding: str) -> None:
    url, images = f"{server}/v2/models/first/infer", bytes(128 * 32 * 32 * 3)
    headers = {HEADER_LENGTH: "0", "Accept-Encoding": coding}
    answer = requests.post(url, data=images, headers=headers)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Encoding"] == coding


@pytest.mark.parametrize(
    "path", ["/models", "/openapi.json", "/static/page.css", "/static/results.js"]
)
def test_long_answers_are_compressed_when_asked(server: str, path: str) -> None:
    plain = requests.get(f"{server}{path}", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    for coding in ("gzip", "deflate"):
        headers = {"Accept-Encoding": coding}
        with requests.get(f"{server}{path}", headers=headers, stream=True) as packed:
            assert packed.headers["Content-Encoding"] == coding
            assert "Accept-Encoding" in packed.headers["Vary"]
            sent = packed.raw.read(decode_content=False)
        assert len(sent) < len(plain.content) / 2
        assert zlib.decompress(sent, 47) == plain.content
    short = requests.get(f"{server}/health/live", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in short.headers


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip;q=0", None),
        ("br;q=1, gzip;q=0", None),
        ("gzip; q=0, *", "deflate"),
        ("*;q=0", None),
        ("gzip;q=0.5, identity", None),
        ("gzip;q=0.5, deflate", "deflate"),
        ("br, GZIP;q=0.1", "gzip"),
        ("*", "gzip"),
        ("", None),
    ],
)
def test_a_client_gets_the_coding_that_it_prefers(
    server: str, accepted: str, coding: str | None
) -> None:
    for path in ("/models", "/static/page.css"):
        answer = requests.get(f"{server}{path}", headers={"Accept-Encoding": accepted})
        assert answer.headers.get("Content-Encoding") == coding
        assert answer.headers["Vary"] == "Accept-Encoding"


def test_ranges_and_tags_are_those_of_what_is_sent(server: str) -> None:
    url, packed = f"{server}/static/techniques.js", {"Accept-Encoding": "gzip"}
    plain = requests.get(url, headers={"Accept-Encoding": "identity"})
    coded = requests.get(url, headers=packed)
    tags = [plain.headers["ETag"], coded.headers["ETag"]]
    assert tags[0] != tags[1]
    assert coded.content == plain.content
    for bounds, expected in (("0-8388607", plain.content), ("100-5099", plain.content[100:5100])):
        part = requests.get(url, headers={**packed, "Range": f"bytes={bounds}"})
        assert part.status_code == 206
        assert "Content-Encoding" not in part.headers
        assert (part.content, part.headers["ETag"]) == (expected, tags[0])
    # The rest of a coded answer is no range of the plain one.
    whole = requests.get(url, headers={**packed, "Range": "bytes=9-", "If-Range": tags[1]})
    assert (whole.status_code, whole.content) == (200, plain.content)
    dated = {"If-Modified-Since": coded.headers["Last-Modified"]}
    for known, tag in (
        ({"If-None-Match": tags[0]}, tags[0]),
        ({"If-None-Match": f"W/{tags[1]}"}, tags[1]),
        (dated, tags[1]),
    ):
        for method in ("GET", "HEAD"):
            answer = requests.request(method, url, headers={**packed, **known})
            assert (answer.status_code, answer.headers["ETag"]) == (304, tag)
            assert "Content-Encoding" not in answer.headers
    head = requests.head(url, headers=packed)
    assert head.headers["ETag"] == tags[1]
    assert head.headers["Content-Length"] == coded.headers["Content-Length"]
