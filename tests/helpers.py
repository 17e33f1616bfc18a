"""What several test modules use: the real server, images to send it, and checks of its answers."""

import hashlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pytest
import requests
from PIL import Image

ROOT = Path(__file__).parents[1]

MODELS = ["first", "second", "final"]
SHIP = ROOT / "serving" / "static" / "ship.png"

KEYS = ("first-key", "second-key")  # of the fixture `keyed_server`
# As root, on a machine whose network reaches nothing but this server.
CHROMIUM_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
HANG = 900  # seconds after which a wait is a hang, on however busy a machine

POST = b"POST /predict HTTP/1.1\r\nHost: x\r\n"  # the start of a request's head


def png(image: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def upload(*files: tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    return [("image", file) for file in files]


def ask(server: str, path: str, file: Path, query: str = "") -> Any:
    """Send a file to be resized; return the answer."""
    files = upload((file.name, file.read_bytes()))
    return requests.post(f"{server}/{path}?{query}", files=files).json()


def predict(server: str, file: Path, query: str = "") -> Any:
    """Return what /predict answers to a file."""
    return ask(server, "predict", file, query)["predictions"][0]


def check_problem(response: requests.Response, status: int, *words: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert problem["title"]
    for word in words:
        assert word in problem["detail"]


def replace_model(version: Path, content: bytes) -> None:
    """Put another model into a version's folder, without an int8 file."""
    (version / "model.onnx").write_bytes(content)
    record = version / "metadata.json"
    fields = json.loads(record.read_text("utf-8"))
    fields |= {"sha256": hashlib.sha256(content).hexdigest(), "int8": None}
    record.write_text(json.dumps(fields), "utf-8")


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the checkout to its end, whatever its exit status."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )


def refusal(*options: str) -> str:
    """Start the service, which must refuse these options; return the line that says why."""
    result = run_python("-m", "serving", "--port", "0", *options)
    return error_line(result.returncode, result.stderr)


def error_line(status: int, log: str) -> str:
    """Return the one line that says why a command failed."""
    assert status == 1
    lines = [line for line in log.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1, log
    assert "Traceback" not in log
    return lines[0]


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until a condition holds; fail where it never does."""
    deadline = time.monotonic() + HANG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children_of(process: int) -> list[int]:
    """Return the IDs of a process's children."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(pid) for pid in children.split()]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def takes_connections(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def connect(server: str) -> socket.socket:
    address = urlsplit(server)
    return socket.create_connection((address.hostname or "", address.port or 0), timeout=HANG)


def in_flight(server: str) -> float:
    """Return how many requests are being answered, this one for the metrics included."""
    metrics = requests.get(f"{server}/metrics").text
    [value] = re.findall(r"^serving_http_requests_in_flight (\S+)$", metrics, re.MULTILINE)
    return float(value)


def exchange(server: str, sent: bytes) -> tuple[int, bytes, bytes]:
    """Send bytes over a connection of their own; return the status, the head and the body."""
    with connect(server) as client:
        client.sendall(sent)
        received = b""
        while piece := client.recv(65536):  # until the server closes it
            received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), head, body


@contextmanager
def run_server(
    *options: str, log: list[str] | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Run `python -m serving` on a free port and yield its address; its log goes to `log`."""
    command = (sys.executable, "-m", "serving", "--port", "0", *options)
    with listening(*command, log=log, environment=environment) as (address, _):
        yield address


@contextmanager
def listening(
    *command: str, log: list[str] | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[str, int]]:
    """Run a server and yield the address that it logs, and its process id."""
    log = [] if log is None else log
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        for line in process.stderr:
            log.append(line)
            if match := re.search(r'listening on ([^"\s]+)', line):
                break
        else:
            pytest.fail(f"the server did not start:\n{''.join(log)}")
        # The pipe must be read: a full one would block the server.
        reader = threading.Thread(target=log.extend, args=[process.stderr])
        reader.start()
        try:
            yield match[1], process.pid
        finally:
            process.terminate()
            try:
                process.wait(HANG)
            finally:
                process.kill()
                reader.join()
    assert process.returncode == 0
