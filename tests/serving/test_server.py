"""The server under what befalls one: too many requests, slow clients, a stop under load."""

import http.client
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pytest
import requests

from tests.helpers import ROOT, check_problem, png, run_server, upload, wait_for

pytestmark = pytest.mark.alone


def test_past_its_queue_it_refuses_at_once_and_answers_probes(
    server: str, image: npt.NDArray[np.uint8]
) -> None:
    files = upload(*[("a.png", png(image))] * 64)
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
    assert max(probes) < max(r.elapsed for r in accepted).total_seconds()
    assert requests.get(f"{server}/health/ready").status_code == 200


def connect(server: str) -> socket.socket:
    address = urlsplit(server)
    return socket.create_connection((address.hostname or "", address.port or 0), timeout=60)


POST = b"POST /predict HTTP/1.1\r\nHost: x\r\n"


def test_slow_and_lost_clients_hold_up_nobody(server: str, image: npt.NDArray[np.uint8]) -> None:
    head = POST + b"Content-Length: 1000\r\n\r\n"
    clients = []
    for _ in range(200):
        client = connect(server)
        client.sendall(head + b"\x89")
        clients.append(client)
    response = requests.post(f"{server}/predict", files=upload(("a.png", png(image))), timeout=20)
    assert response.status_code == 200
    for client in clients:
        client.close()
    assert requests.get(f"{server}/health/ready").status_code == 200


def test_a_stop_under_load_loses_no_request(image: npt.NDArray[np.uint8]) -> None:
    content = png(image)
    statuses: list[int] = []
    closed: list[bool] = []
    busy = threading.Barrier(9)

    def send(server: str) -> None:
        """Send over one connection until the server says that it closes it."""
        client = http.client.HTTPConnection(urlsplit(server).netloc, timeout=60)
        for number in range(1_000_000):
            client.request("POST", "/predict?model=first", content)
            response = client.getresponse()
            response.read()
            statuses.append(response.status)
            if number == 0:
                busy.wait()
            if response.will_close:
                closed.append(True)
                return

    with ThreadPoolExecutor(8) as pool:
        with run_server("--workers", "2") as server:
            senders = [pool.submit(send, server) for _ in range(8)]
            busy.wait()
            # Leaving the block sends SIGTERM, and asserts that the exit status is 0.
        for sender in senders:
            sender.result()
    assert closed == [True] * 8
    assert set(statuses) == {200}


def test_a_stop_does_not_wait_for_idle_connections() -> None:
    with (
        requests.Session() as session,
        run_server("--graceful-timeout", "1000", "--client-timeout", "1000") as server,
    ):
        assert session.get(f"{server}/health/ready").headers["Connection"] == "keep-alive"
        # Leaving the block stops the server; the test would end long after any limit on tests.


def workers_of(master: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]


def test_a_killed_worker_is_replaced_while_the_other_answers() -> None:
    log: list[str] = []
    with run_server("--workers", "2", log=log) as server:
        master = next(json.loads(line)["process"] for line in log if "Listening at" in line)
        wait_for(lambda: sum("listening on" in line for line in log) == 2)
        before = workers_of(master)
        assert len(before) == 2
        requests.get(f"{server}/models/first")
        subprocess.run(["kill", "-9", str(before[0])], check=True)
        for _ in range(50):
            assert requests.get(f"{server}/health/ready").status_code == 200
        wait_for(lambda: sum("listening on" in line for line in log) == 3)
        after = workers_of(master)
        assert len(after) == 2
        assert before[0] not in after
        # What the killed one counted is not lost.
        metrics = requests.get(f"{server}/metrics").text
        [count] = [
            line.rpartition(" ")[2]
            for line in metrics.splitlines()
            if line.startswith("serving_http_requests_total") and "/health/ready" in line
        ]
        assert float(count) == 50
        assert 'route="/models/<name>"' in metrics


def test_hangup_loads_the_models_anew_without_a_failed_request(
    tmp_path: Path, image: npt.NDArray[np.uint8]
) -> None:
    models = tmp_path / "first"
    shutil.copytree(ROOT / "models" / "first" / "1", models / "1")
    content = png(image)
    statuses: list[int] = []
    done = threading.Event()
    log: list[str] = []

    def send(server: str) -> None:
        with requests.Session() as session:
            while not done.is_set():
                statuses.append(session.post(f"{server}/predict", data=content).status_code)

    def newest() -> int:
        version: int = requests.get(f"{server}/models/first").json()["version"]
        return version

    with (
        run_server("--models-dir", str(tmp_path), log=log) as server,
        ThreadPoolExecutor(4) as pool,
    ):
        master = next(json.loads(line)["process"] for line in log if "Listening at" in line)
        try:
            for _ in range(4):
                pool.submit(send, server)
            assert newest() == 1
            shutil.copytree(ROOT / "models" / "first" / "2", models / "2")
            subprocess.run(["kill", "-HUP", str(master)], check=True)
            wait_for(lambda: newest() == 2)
            wait_for(lambda: any("Worker exiting" in line for line in log))  # the old one
            (models / "2" / "model.onnx").write_bytes(b"no model")
            subprocess.run(["kill", "-HUP", str(master)], check=True)
            wait_for(lambda: any("the models stay as they are" in line for line in log))
            assert newest() == 2
        finally:
            done.set()
    assert set(statuses) == {200}
    [line] = [line for line in log if "the models stay as they are" in line]
    assert "first/2/model.onnx is damaged" in line


def test_clients_that_read_no_answer_hold_up_nobody(server: str) -> None:
    clients = []
    for _ in range(40):
        client = connect(server)
        client.sendall(b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
        clients.append(client)
    assert requests.get(f"{server}/models", timeout=10).status_code == 200
    for client in clients:
        client.close()


def exchange(server: str, sent: bytes) -> tuple[int, bytes, bytes]:
    """Send bytes over a connection of their own; return the status, the head and the body."""
    with connect(server) as client:
        client.sendall(sent)
        received = b""
        while piece := client.recv(65536):  # until the server closes it
            received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), head, body


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


def test_a_request_must_come_in_in_time() -> None:
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
        with requests.Session() as session:  # which opens another connection by itself
            for _ in range(2):
                assert session.get(f"{server}/models").status_code == 200
                time.sleep(1.5)
    [line] = [json.loads(line) for line in log if " 408" in line]
    assert f"X-Request-ID: {line['request_id']}".encode() in head
    assert (line["status"], line["path"], line["client"]) == (408, "/predict", "127.0.0.1")


def test_no_server_version_leaks(server: str) -> None:
    headers = requests.get(server).headers
    assert headers["Server"] == "gunicorn"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in headers


def test_a_taken_port_is_named_before_models_are_loaded(server: str, tmp_path: Path) -> None:
    port = str(urlsplit(server).port)
    result = subprocess.run(
        [sys.executable, "-m", "serving", "--port", port, "--models-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in result.stderr
    assert "--port" in result.stderr


def test_the_server_for_windows_serves_it(image: npt.NDArray[np.uint8]) -> None:
    code = (
        "from serving.logs import configure_logging; configure_logging(); "
        "from serving.settings import Settings; from serving.windows import serve; "
        "serve(Settings(port=0))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        lines = iter(process.stderr.readline, "")
        line = next(line for line in lines if "listening on" in line)
        address = json.loads(line)["message"].removeprefix("listening on ")
        try:
            answer = requests.post(f"{address}/predict", data=png(image))
            assert answer.status_code == 200
            metrics = requests.get(f"{address}/metrics").text
            assert "process_resident_memory_bytes" in metrics
        finally:
            process.kill()


def takes_connections(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_gunicorns_own_command_line_serves_it(image: npt.NDArray[np.uint8]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "--worker-class", "gevent"]
    command += ["--bind", f"127.0.0.1:{port}", "serving.app:create_app()"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: takes_connections(port))
            answer = requests.post(f"http://127.0.0.1:{port}/predict", data=png(image))
            assert answer.status_code == 200
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
