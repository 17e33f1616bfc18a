"""The server under what befalls one: too many requests, slow clients, a stop under load."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pytest
import requests

from serving.server import MAX_REQUESTS
from tests.conftest import ROOT, listening, run_server
from tests.serving.test_service import check_problem, png, upload


def test_past_its_queue_it_refuses_at_once_and_answers_probes(
    server: str, picture: npt.NDArray[np.uint8]
) -> None:
    files = upload(*[("a.png", png(picture))] * 64)
    probes: list[float] = []

    def send(_: int) -> requests.Response:
        return requests.post(f"{server}/predict?version=1", files=files, timeout=120)

    def probe() -> None:
        while not done.is_set():
            started = time.perf_counter()
            for path in ("health/live", "health/ready", "metrics"):
                assert requests.get(f"{server}/{path}").status_code == 200
            probes.append(time.perf_counter() - started)
            time.sleep(0.05)

    done = threading.Event()
    with ThreadPoolExecutor(41) as pool:
        prober = pool.submit(probe)
        try:
            responses = list(pool.map(send, range(40)))
        finally:
            done.set()
        prober.result()
    accepted = [r for r in responses if r.status_code == 200]
    refused = [r for r in responses if r.status_code != 200]
    assert accepted
    assert refused
    for response in accepted:
        assert len(response.json()["predictions"]) == 64
    for response in refused:
        check_problem(response, 503, "again")
        assert response.headers["Retry-After"] == "1"
        assert response.elapsed < max(r.elapsed for r in accepted) / 2
    assert max(probes) < 2
    assert requests.get(f"{server}/health/ready").status_code == 200


def connect(server: str) -> socket.socket:
    address = urlsplit(server)
    return socket.create_connection((address.hostname or "", address.port or 0), timeout=60)


POST = b"POST /predict HTTP/1.1\r\nHost: x\r\n"


def test_slow_and_lost_clients_hold_up_nobody(server: str, picture: npt.NDArray[np.uint8]) -> None:
    head = POST + b"Content-Length: 1000\r\n\r\n"
    clients = []
    for _ in range(200):  # more than there may be requests
        client = connect(server)
        client.sendall(head + b"\x89")
        clients.append(client)
    started = time.perf_counter()
    response = requests.post(f"{server}/predict", files=upload(("a.png", png(picture))))
    assert response.status_code == 200
    assert time.perf_counter() - started < 2
    for client in clients:
        client.close()
    assert requests.get(f"{server}/health/ready").status_code == 200


def test_a_stop_under_load_loses_no_request(picture: npt.NDArray[np.uint8]) -> None:
    files = upload(("a.png", png(picture)))
    statuses: list[int] = []
    log: list[str] = []

    with run_server(log=log) as server:

        def send() -> None:
            # As a load balancer does: requests go here until the service says it is not ready.
            with requests.Session() as session:
                while session.get(f"{server}/health/ready").status_code == 200:
                    statuses.append(session.post(f"{server}/predict", files=files).status_code)

        pool = ThreadPoolExecutor(8)
        senders = [pool.submit(send) for _ in range(8)]
        time.sleep(1)
        # Leaving the block sends SIGTERM, and asserts that the exit status is 0.
    for sender in senders:
        sender.result()
    assert len(statuses) > 8
    assert set(statuses) == {200}
    assert any("stopping" in line for line in log)


def test_a_stop_of_a_quiet_service_waits_for_a_late_request() -> None:
    with listening(sys.executable, "-m", "serving", "--port", "0") as (server, pid):
        time.sleep(1)
        os.kill(pid, signal.SIGTERM)
        time.sleep(0.2)
        assert requests.get(f"{server}/health/ready").status_code == 503
        late = requests.get(f"{server}/models")
        assert late.status_code == 200
        assert late.headers["Connection"] == "close"


def test_clients_that_read_no_answer_hold_up_nobody(server: str) -> None:
    clients = []
    for _ in range(40):
        client = connect(server)
        client.sendall(b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
        clients.append(client)
    assert requests.get(f"{server}/models", timeout=10).status_code == 200
    for client in clients:
        client.close()


def exchange(server: str, sent: bytes) -> tuple[int, bytes, dict[str, Any]]:
    """Send bytes over a connection of their own; return the status, the head and the problem."""
    with connect(server) as client:
        client.sendall(sent)
        received = b""
        while piece := client.recv(65536):  # until the server closes it
            received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), head, json.loads(body)


@pytest.mark.parametrize(
    ("sent", "status", "word"),
    [
        (b"PICTURE\r\n\r\n", 400, "HTTP/1.1"),
        (b"GET / HTTP/1.1\r\nContent-Length: many\r\n\r\n", 400, "HTTP/1.1"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 400, "too long"),
        (b"GET / HTTP/1.1\r\n" + (b"A: " + b"b" * 22_000 + b"\r\n") * 3 + b"\r\n", 400, "too long"),
        # What two servers in a row may read as different requests.
        (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400, "HTTP/1.1"),
        (POST + b"Content-Length: +0_3\r\n\r\n", 400, "HTTP/1.1"),
        (POST + b"X : y\r\nContent-Length: 3\r\n\r\n", 400, "HTTP/1.1"),
        (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 400, "HTTP/1.1"),
        (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400, "HTTP/1.1"),
        (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n\r\n", 414, "address"),
        (POST + b"Content-Length: 100000000\r\n\r\n", 413, "8 MiB"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nnone\r\n", 400, "chunk"),
    ],
)
def test_what_is_no_request_gets_a_problem(
    server: str, sent: bytes, status: int, word: str
) -> None:
    found, head, problem = exchange(server, sent)
    assert found == problem["status"] == status
    assert word in problem["detail"]
    assert b"\r\nContent-Type: application/problem+json" in head
    assert b"\r\nConnection: close" in head


def test_a_body_in_chunks_is_read(server: str, picture: npt.NDArray[np.uint8]) -> None:
    content = png(picture)
    whole = requests.post(f"{server}/predict", data=content)
    chunked = requests.post(f"{server}/predict", data=iter([content[:99], content[99:]]))
    assert chunked.json() == whole.json()


def test_a_client_with_endless_requests_holds_up_nobody(server: str) -> None:
    with connect(server) as client:
        requests.get(f"{server}/health/live")
        request = b"GET /health/live HTTP/1.1\r\nHost: x\r\n%s\r\n"
        burst = request % b"" * 2999 + request % b"Connection: close\r\n"
        sender = threading.Thread(target=client.sendall, args=[burst])
        sender.start()
        began = time.perf_counter()
        assert requests.get(f"{server}/health/live").status_code == 200
        probe = time.perf_counter() - began
        assert client.makefile("rb").read().count(b"HTTP/1.1 200") == 3000
        assert time.perf_counter() < began + 60
        assert probe < (time.perf_counter() - began) / 2
        sender.join()


def test_more_requests_than_it_takes_are_refused(
    server: str, picture: npt.NDArray[np.uint8]
) -> None:
    content = png(picture)
    head = b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(content)
    clients = [connect(server) for _ in range(2 * MAX_REQUESTS)]
    for client in clients:
        client.sendall(POST + head + content)
    answers = [client.makefile("rb").read() for client in clients]
    statuses = Counter(answer.split()[1] for answer in answers)
    assert set(statuses) == {b"200", b"503"}
    assert statuses[b"200"] >= MAX_REQUESTS
    for client in clients:
        client.close()


def test_a_connection_must_send_its_request_in_time() -> None:
    hurried = "import serving.server as s; s.PATIENCE = 1; import serving.__main__ as m; m.main()"
    with listening(sys.executable, "-c", hurried, "--port", "0") as (server, _):
        for begun in (POST, POST + b"Content-Length: 9\r\n\r\n1234"):
            status, _, problem = exchange(server, begun)
            assert status == problem["status"] == 408
            assert "seconds" in problem["detail"]
        with connect(server) as idle:
            assert idle.recv(1) == b""
        with requests.Session() as session:  # which opens another connection by itself
            for _ in range(2):
                assert session.get(f"{server}/models").status_code == 200
                time.sleep(1.5)


def test_no_server_version_leaks(server: str) -> None:
    headers = requests.get(server).headers
    assert "Server" not in headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in headers


def test_a_taken_port_is_named(server: str) -> None:
    port = str(urlsplit(server).port)
    result = subprocess.run(
        [sys.executable, "-m", "serving", "--port", port],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in result.stderr
