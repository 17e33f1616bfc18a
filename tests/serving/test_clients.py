"""Clients that are too many, slow, lost or endless hold up nobody."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest
import requests

from tests.helpers import POST, check_problem, connect, exchange, png, run_server, upload


def test_a_full_queue_refuses_at_once_and_probes_are_answered(
    server: str, image: npt.NDArray[np.uint8]
) -> None:
    files = upload(*[("a.png", png(image))] * 64)
    answers: list[str] = []  # in the order in which they came

    def send(_: int) -> requests.Response:
        response = requests.post(f"{server}/predict?version=1", files=files)
        answers.append("accepted" if response.status_code == 200 else "refused")
        return response

    def probe() -> None:
        while not done.is_set():
            for path in ("health/live", "health/ready", "metrics"):
                assert requests.get(f"{server}/{path}").status_code == 200
            answers.append("probes")

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
        check_problem(response, 503, "etry")
        assert 1 <= int(response.headers["Retry-After"]) <= 30
    while answers[-1] == "probes":
        answers.pop()
    assert answers[-1] == "accepted"  # none that was refused waited for its turn
    # Two, so that one round began and ended while accepted requests waited.
    assert answers[answers.index("refused") :].count("probes") >= 2
    assert requests.get(f"{server}/health/ready").status_code == 200


def test_slow_and_lost_clients_block_no_others(server: str, image: npt.NDArray[np.uint8]) -> None:
    head = POST + b"Content-Length: 1000\r\n\r\n"
    clients = []
    for _ in range(200):
        client = connect(server)
        client.sendall(head + b"\x89")
        clients.append(client)
    response = requests.post(f"{server}/predict", files=upload(("a.png", png(image))))
    assert response.status_code == 200
    for client in clients:
        client.close()
    assert requests.get(f"{server}/health/ready").status_code == 200


def test_clients_that_read_no_answer_block_no_others(server: str) -> None:
    clients = []
    for _ in range(40):
        client = connect(server)
        client.sendall(b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
        clients.append(client)
    assert requests.get(f"{server}/models").status_code == 200
    for client in clients:
        client.close()


def live_requests(server: str) -> float:
    return sum(
        float(line.rpartition(" ")[2])
        for line in requests.get(f"{server}/metrics").text.splitlines()
        if line.startswith("serving_http_requests_total{") and "/health/live" in line
    )


def test_a_client_with_endless_requests_blocks_no_others(server: str) -> None:
    with connect(server) as client:
        request = b"GET /health/live HTTP/1.1\r\nHost: x\r\n%s\r\n"
        burst = request % b"" * 2999 + request % b"Connection: close\r\n"
        before = live_requests(server)
        sender = threading.Thread(target=client.sendall, args=[burst])
        sender.start()
        counts = iter(lambda: live_requests(server) - before, None)
        # Who asks meanwhile is answered in the midst of them.
        assert next(count for count in counts if count) < 3000
        with client.makefile("rb") as answers:
            assert answers.read().count(b"HTTP/1.1 200") == 3000
        sender.join()


@pytest.mark.slow
@pytest.mark.usefixtures("_one_model")
def test_a_request_must_arrive_in_time() -> None:
    log: list[str] = []
    with run_server("--client-timeout", "1", log=log) as server:
        with connect(server) as begun:
            begun.sendall(POST)
            assert begun.recv(1) == b""
        with connect(server) as idle:
            assert idle.recv(1) == b""
        status, head, body = exchange(server, POST + b"Content-Length: 9\r\n\r\n1234")
        assert status == 408
        assert "1 seconds" in json.loads(body)["detail"]
        answered, *_ = exchange(server, b"GET /models HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answered == 200
    [line] = [json.loads(line) for line in log if " 408" in line]
    assert f"X-Request-ID: {line['request_id']}".encode() in head
    assert (line["status"], line["path"], line["client"]) == (408, "/predict", "127.0.0.1")
