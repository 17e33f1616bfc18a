"""HTTP as bytes: what is no request, bodies in chunks, and the headers of every answer."""

import json

import numpy as np
import numpy.typing as npt
import pytest
import requests

from tests.helpers import POST, exchange, png


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"IMAGE\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: many\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * 22_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 5_000 + b" HTTP/1.1\r\n\r\n", 414),
        # What two servers in a row may read as different requests.
        (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        (POST + b"Content-Length: +0_3\r\n\r\n", 400),
        (POST + b"X : y\r\nContent-Length: 3\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400),
    ],
)
def test_what_is_no_request_is_refused(server: str, sent: bytes, status: int) -> None:
    found, head, _ = exchange(server, sent + b"GET /models HTTP/1.1\r\nHost: x\r\n\r\n")
    assert found == status
    assert b"\r\nConnection: close" in head


@pytest.mark.parametrize(
    ("sent", "status", "word"),
    [
        (POST + b"Content-Length: 100000000\r\n\r\n", 413, "8 MiB"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nnone\r\n", 400, "chunk"),
    ],
)
def test_a_body_that_is_refused_gets_a_problem(
    server: str, sent: bytes, status: int, word: str
) -> None:
    found, head, body = exchange(server, sent)
    problem = json.loads(body)
    assert found == problem["status"] == status
    assert word in problem["detail"]
    assert b"\r\nContent-Type: application/problem+json" in head
    assert b"\r\nConnection: close" in head


def test_a_body_in_chunks_is_read(server: str, image: npt.NDArray[np.uint8]) -> None:
    content = png(image)
    whole = requests.post(f"{server}/predict", data=content)
    chunked = requests.post(f"{server}/predict", data=iter([content[:99], content[99:]]))
    assert chunked.json() == whole.json()


def test_no_server_version_leaks(server: str) -> None:
    headers = requests.get(server).headers
    assert headers["Server"] == "gunicorn"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in headers
