"""HTTP as bytes: what is no request, bodies in chunks, and the headers of every answer."""

import json

import numpy as np
import numpy.typing as npt
import pytest
import requests

from tests.helpers import POST, check_problem, exchange, png, run_server


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"IMAGE\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: many\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * 2_000_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + (b"A: " + b"b" * 30_000 + b"\r\n") * 3 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nExpect: more\r\n\r\n", 417),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),  # TLS
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
    found, head, body = exchange(server, sent + b"GET /models HTTP/1.1\r\nHost: x\r\n\r\n")
    problem = json.loads(body)
    assert found == problem["status"] == status
    assert problem["detail"]
    assert b"\r\nContent-Type: application/problem+json" in head
    assert b"\r\nX-Content-Type-Options: nosniff" in head
    assert b"\r\nConnection: close" in head


def test_a_head_with_the_cookies_of_a_single_sign_on_is_read(server: str) -> None:
    headers = {"Cookie": "a" * 40_000, "Authorization": f"Negotiate {'b' * 20_000}"}
    assert requests.get(f"{server}/models", headers=headers).status_code == 200


@pytest.mark.slow
@pytest.mark.usefixtures("_one_model")
def test_what_is_refused_is_logged_and_its_answer_read_by_pages() -> None:
    log: list[str] = []
    options = ("--max-head", "2000", "--cors-origins", "https://page.example")
    with run_server(*options, log=log) as server:
        answer = requests.get(f"{server}/models", headers={"Cookie": "a" * 3000})
        check_problem(answer, 431, "2000 bytes", "--max-head", "SERVING_MAX_HEAD")
        assert answer.headers["Access-Control-Allow-Origin"] == "https://page.example"
        metrics = requests.get(f"{server}/metrics").text
    assert 'serving_http_requests_total{method="other",route="none",status="431"} 1' in metrics
    lines = [json.loads(line) for line in log]
    line, why = [x for x in lines if x["request_id"] == answer.headers["X-Request-ID"]]
    assert "limit request headers" in why["message"]
    assert (line["status"], line["client"]) == (431, "127.0.0.1")


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
