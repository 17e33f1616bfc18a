"""What becomes of requests when the service stops, loses a worker or reloads its models."""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pytest
import requests

from tests.helpers import HANG, ROOT, children_of, connect, in_flight, png, run_server, wait_for

pytestmark = pytest.mark.usefixtures("_one_model")


def processor_seconds(server: str) -> float:
    metrics = requests.get(f"{server}/metrics").text
    found = re.search(r"^process_cpu_seconds_total (\S+)$", metrics, re.MULTILINE)
    assert found
    return float(found[1])


@pytest.mark.slow
def test_a_stop_loses_no_request_and_waits_for_no_idle_connection(
    image: npt.NDArray[np.uint8],
) -> None:
    content = png(image)
    statuses: list[int] = []
    closed: list[bool] = []
    busy = threading.Barrier(9, timeout=HANG)
    log: list[str] = []
    never = str(10 * HANG)  # longer than this test waits
    options = ("--workers", "2", "--graceful-timeout", never, "--client-timeout", never)

    def send(server: str) -> None:
        """Send over one connection until the server says that it closes it."""
        client = http.client.HTTPConnection(urlsplit(server).netloc, timeout=HANG)
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
        with (
            requests.Session() as session,
            run_server(*options, log=log) as server,
        ):
            assert session.get(f"{server}/health/ready").headers["Connection"] == "keep-alive"
            silent = connect(server)  # as a browser does ahead of a request
            senders = [pool.submit(send, server) for _ in range(8)]
            busy.wait()
            # Leaving the block sends SIGTERM, and asserts that the exit status is 0.
        for sender in senders:
            sender.result()
    silent.close()
    assert closed == [True] * 8
    assert set(statuses) == {200}
    assert not [line for line in log if "Traceback" in line]


@pytest.mark.slow
def test_ctrl_c_answers_the_requests_in_progress(image: npt.NDArray[np.uint8]) -> None:
    body = png(image)
    log: list[str] = []
    with run_server(log=log) as server:
        master = next(json.loads(line)["process"] for line in log if "Listening at" in line)
        with connect(server) as client, connect(server) as idle:
            client.sendall(
                b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"
                b"Content-Length: %d\r\n\r\n" % len(body)
            )
            wait_for(lambda: in_flight(server) == 2)  # this request for metrics is the other
            for process in (master, *children_of(master)):  # as a terminal does
                os.kill(process, signal.SIGINT)
            assert idle.recv(1) == b""  # idle connections are hung up
            client.sendall(body)
            answer = b""
            while piece := client.recv(65536):  # until it is hung up, too
                answer += piece
            assert answer.startswith(b"HTTP/1.1 200")
    assert not [line for line in log if "Traceback" in line]


@pytest.mark.slow
def test_a_stop_while_it_starts_leaves_no_process_behind(tmp_path: Path) -> None:
    (tmp_path / "first" / "1").mkdir(parents=True)
    os.mkfifo(tmp_path / "first" / "1" / "metadata.json")  # it hangs, as a network's disk may
    command = [sys.executable, "-m", "serving", "--port", "0", "--models-dir", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            wait_for(lambda: children_of(process.pid))
            [child] = children_of(process.pid)
            process.terminate()
            assert process.wait(HANG) == 128 + signal.SIGTERM
        finally:
            process.kill()
    assert not Path(f"/proc/{child}").exists()


@pytest.mark.slow
def test_a_containers_first_process_stops_from_its_first_moment_on() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may make a process namespace")
    [last] = re.findall(r"^CMD (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    command = ["unshare", "--pid", "--fork", "--kill-child", *json.loads(last)]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with subprocess.Popen(command, cwd=ROOT, env={**environment, "SERVING_PORT": "0"}) as outside:
        try:
            wait_for(lambda: children_of(outside.pid))
            [first] = children_of(outside.pid)
            wait_for(lambda: b"python" in Path(f"/proc/{first}/cmdline").read_bytes()[:6])
            os.kill(first, signal.SIGTERM)  # Python itself is still starting
            assert outside.wait(HANG) == 128 + signal.SIGTERM
        finally:
            outside.kill()


@pytest.mark.slow
def test_a_stop_while_a_worker_starts_is_not_lost() -> None:
    command = [sys.executable, "-m", "serving", "--port", "0", "--graceful-timeout", "1000"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        try:
            lines = iter(process.stderr.readline, "")
            next(line for line in lines if "Booting worker" in line)
            process.terminate()
            process.communicate(timeout=HANG)
            assert process.returncode == 0
        finally:
            process.kill()


@pytest.mark.slow
def test_a_frozen_service_keeps_its_workers(image: npt.NDArray[np.uint8]) -> None:
    """As a paused container, or a machine that sleeps."""
    content = png(image)
    log: list[str] = []
    with run_server("--worker-timeout", "3", "--client-timeout", "3", log=log) as server:
        master = next(json.loads(line)["process"] for line in log if "Listening at" in line)
        [worker] = children_of(master)
        with closing(http.client.HTTPConnection(urlsplit(server).netloc, timeout=HANG)) as client:
            client.request("GET", "/health/ready")  # so that the connection is accepted
            client.getresponse().read()
            for process in (master, worker):
                os.kill(process, signal.SIGSTOP)
            time.sleep(4)
            client.request("POST", "/predict?model=first", content)
            os.kill(master, signal.SIGCONT)
            time.sleep(0.5)  # so that the master looks before the worker goes on
            os.kill(worker, signal.SIGCONT)
            assert client.getresponse().status == 200
        assert children_of(master) == [worker]
    assert not any("TIMEOUT" in line for line in log)


@pytest.mark.slow
def test_a_killed_worker_is_replaced_while_the_other_answers() -> None:
    log: list[str] = []
    with run_server("--workers", "2", log=log) as server:
        master = next(json.loads(line)["process"] for line in log if "Listening at" in line)
        wait_for(lambda: sum("listening on" in line for line in log) == 2)
        assert len(children_of(master)) == 2
        requests.get(f"{server}/models/first")
        large = png(np.zeros((512, 512, 3), dtype=np.uint8))
        for _ in range(10):  # so that it has a decoder, which ends with it
            requests.post(f"{server}/predict", data=large)
        wait_for(lambda: any("/models/first" in line for line in log))
        [counted] = [json.loads(line)["process"] for line in log if "/models/first" in line]
        seconds = [processor_seconds(server)]
        os.kill(counted, signal.SIGKILL)
        for _ in range(50):
            assert requests.get(f"{server}/health/ready").status_code == 200
            seconds.append(processor_seconds(server))
        wait_for(lambda: sum("listening on" in line for line in log) == 3)
        after = children_of(master)
        assert len(after) == 2
        assert counted not in after
        assert seconds == sorted(seconds)
        metrics = requests.get(f"{server}/metrics").text
        [count] = [
            line.rpartition(" ")[2]
            for line in metrics.splitlines()
            if line.startswith("serving_http_requests_total") and "/health/ready" in line
        ]
        assert float(count) == 50
        assert 'route="/models/<name>"' in metrics  # what the killed one counted is not lost


@pytest.mark.slow
def test_a_stuck_worker_is_replaced_and_connections_are_limited() -> None:
    log: list[str] = []
    with run_server("--worker-timeout", "5", "--max-connections", "3", log=log) as server:
        master = next(json.loads(line)["process"] for line in log if "Listening at" in line)
        idle = [connect(server) for _ in range(3)]
        with pytest.raises(requests.ReadTimeout):
            requests.get(f"{server}/health/live", timeout=1)
        idle.pop().close()
        assert requests.get(f"{server}/health/live", timeout=HANG).status_code == 200
        [stuck] = children_of(master)
        os.kill(stuck, signal.SIGSTOP)
        assert requests.get(f"{server}/health/live", timeout=HANG).status_code == 200
        assert stuck not in children_of(master)
        for connection in idle:
            connection.close()


@pytest.mark.slow
def test_sighup_reloads_the_models_without_a_failed_request(
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
            (models / "2" / "model.int8.onnx").write_bytes(b"no model")
            subprocess.run(["kill", "-HUP", str(master)], check=True)
            wait_for(lambda: any("the models stay as they are" in line for line in log))
            assert newest() == 2
        finally:
            done.set()
    assert set(statuses) == {200}
    [line] = [line for line in log if "the models stay as they are" in line]
    assert "first/2/model.int8.onnx does not match the SHA-256" in line


@pytest.mark.slow
def test_a_check_that_hangs_holds_up_neither_a_stop_nor_the_next_reload(tmp_path: Path) -> None:
    models = tmp_path / "first"
    shutil.copytree(ROOT / "models" / "first" / "1", models / "1")
    log: list[str] = []
    with run_server("--models-dir", str(tmp_path), log=log) as server:
        master = next(json.loads(line)["process"] for line in log if "Listening at" in line)
        [worker] = children_of(master)

        def hang() -> int:
            """Reload from a disk that does not answer; return the process that checks it."""
            (models / "2").mkdir(exist_ok=True)
            (models / "2" / "metadata.json").unlink(missing_ok=True)
            os.mkfifo(models / "2" / "metadata.json")
            workers = children_of(master)
            os.kill(master, signal.SIGHUP)
            wait_for(lambda: len(children_of(master)) > len(workers))
            [checking] = {*children_of(master)} - {*workers}
            return checking

        first = hang()
        assert requests.get(f"{server}/models/first").json()["version"] == 1
        (models / "2" / "metadata.json").unlink()
        shutil.copytree(ROOT / "models" / "first" / "2", models / "2", dirs_exist_ok=True)
        os.kill(master, signal.SIGHUP)
        wait_for(lambda: requests.get(f"{server}/models/first").json()["version"] == 2)
        wait_for(lambda: not {first, worker} & {*children_of(master)})
        second = hang()
        # Leaving the block sends SIGTERM, and asserts that the exit status is 0.
    with suppress(FileNotFoundError):  # it has been reaped
        assert not Path(f"/proc/{second}/cmdline").read_bytes()  # it has ended
    assert not any("Traceback" in line for line in log)
