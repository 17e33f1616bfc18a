"""What the service answers while a part fails: a model, the disk, a request's end."""

import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests

from models.record import BATCH, CLASSES, IMAGE_SIZE, INPUT, OUTPUT
from serving.protocol import HEADER_LENGTH
from tests.helpers import (
    POST,
    ROOT,
    check_problem,
    connect,
    in_flight,
    listening,
    png,
    replace_model,
    run_server,
    wait_for,
)

COMMAND = (sys.executable, "-m", "serving", "--port", "0")
BLACK = png(np.zeros((32, 32, 3), np.uint8))
WHITE = png(np.full((32, 32, 3), 255, np.uint8))


def model_for_black_images() -> bytes:
    """Return a model that keeps the contract and fails on every image that is not black.

    Its only row of probabilities is that of the brightest value 0.
    """
    onnx = pytest.importorskip("onnx", reason="needs the training group")
    make, types = onnx.helper, onnx.TensorProto
    nodes = [
        make.make_node("ReduceMax", [INPUT, "axes"], ["brightest"], keepdims=0),
        make.make_node("Cast", ["brightest"], ["row"], to=types.INT64),
        make.make_node("Gather", ["rows", "row"], [OUTPUT]),
    ]
    shape = [BATCH, IMAGE_SIZE, IMAGE_SIZE, 3]
    rows = np.full((1, len(CLASSES)), 0.1, np.float32)
    graph = make.make_graph(
        nodes,
        "fails",
        [make.make_tensor_value_info(INPUT, types.UINT8, shape)],
        [make.make_tensor_value_info(OUTPUT, types.FLOAT, [BATCH, len(CLASSES)])],
        [
            onnx.numpy_helper.from_array(rows, "rows"),
            onnx.numpy_helper.from_array(np.array([1, 2, 3]), "axes"),
        ],
    )
    opset = [make.make_opsetid("", 18)]
    content: bytes = make.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()
    return content


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    """The service over `first` and a `second` that fails on most images, and its log."""
    models: Path = tmp_path_factory.mktemp("models")
    content = model_for_black_images()
    for name in ("first", "second"):
        shutil.copytree(ROOT / "models" / name / "1", models / name / "1")
    replace_model(models / "second" / "1", content)
    log: list[str] = []
    with run_server("--models-dir", str(models), "--provider", "cpu", log=log) as address:
        yield address, log


def test_a_model_that_fails_is_named_while_the_others_answer(
    failing: tuple[str, list[str]],
) -> None:
    server, log = failing
    ready = [f"{server}{path}" for path in ("/health/ready", "/v2/models/second/ready")]
    for url in ready:  # it was warmed up with black images
        assert requests.get(url).status_code == 200

    def fails() -> None:
        check_problem(
            requests.post(f"{server}/predict", data=WHITE),
            503,
            "second version 1 failed",
            "?model=",
        )

    for url in ready:
        fails()
        check_problem(requests.get(url), 503, "second version 1", "log")
        # It has tried a black image since.
        wait_for(partial(is_ok, url))
    fails()
    assert requests.get(f"{server}/v2/models/first/ready").status_code == 200
    assert requests.get(f"{server}/health/live").status_code == 200
    assert requests.post(f"{server}/predict?model=first", data=WHITE).status_code == 200
    index = f"{server}/v2/repository/index"
    assert {entry["name"]: entry["state"] for entry in requests.post(index).json()} == {
        "first": "READY",
        "second": "UNAVAILABLE",
    }
    fails()  # the index has tried it, too
    [only] = requests.post(index, json={"ready": True}).json()
    assert only["name"] == "first"
    assert requests.post(f"{server}/predict", data=BLACK).status_code == 200
    assert requests.get(ready[0]).status_code == 200
    lines = [json.loads(line) for line in log if "second version 1 failed" in line]
    assert len(lines) == 4
    assert "Gather" in lines[0]["exc_info"]


@pytest.mark.slow
@pytest.mark.usefixtures("_one_model")
def test_a_full_disk_refuses_a_large_body_and_goes_on(tmp_path: Path) -> None:
    # Nothing may need /dev/shm, which is read-only or missing on some hosts.
    small = (
        "mount -t tmpfs -o size=1m none $0 && mount -t tmpfs -o ro none /dev/shm &&",
        'TMPDIR=$0 exec "$@"',
    )
    view = ("unshare", "--mount", "sh", "-c", " ".join(small), str(tmp_path))
    if (
        not shutil.which("unshare")
        or subprocess.run([*view, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("this user may not make a mount namespace")
    content = np.random.default_rng(0).bytes(4 * 2**20)
    log: list[str] = []
    with listening(*view, *COMMAND, log=log) as (server, process):
        url = f"{server}/predict?model=first"
        for sent in (content, iter([content[:99], content[99:]])):  # the second in chunks
            check_problem(requests.post(url, data=sent), 503, "storage is full", "smaller")
            # Bodies that are refused anyway are not kept.
            assert requests.post(f"{server}/nowhere", data=content).status_code == 404
            assert requests.post(url, data=2 * content + b"!").status_code == 413
            assert requests.post(url, data=BLACK + bytes(2**19)).status_code == 200
        filler = Path(f"/proc/{process}/root{tmp_path}/filler")
        with pytest.raises(OSError, match="No space left"):
            filler.write_bytes(content)
        # What is counted for the first time takes room, too.
        for version in ("1", "2"):
            answer = requests.post(f"{server}/predict?version={version}", data=BLACK)
            assert answer.status_code == 200
    errors = [json.loads(line) for line in log if '"serving.http.intake"' in line]
    assert ["No space left" in error["exc_info"] for error in errors] == [True, True]


def test_requests_of_clients_that_hang_up_are_dropped(server: str) -> None:
    before = images_of_final(server)
    body = bytes(128 * 32 * 32 * 3)
    head = f"POST /v2/models/final/infer HTTP/1.1\r\nHost: x\r\n{HEADER_LENGTH}: 0\r\n"
    for _ in range(10):
        with connect(server) as client:
            client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    wait_for(lambda: in_flight(server) == 1)
    # What runs while they hang up, and not what they asked for.
    assert images_of_final(server) - before < 5 * 128
    assert requests.post(f"{server}/predict?model=final", data=BLACK).status_code == 200


def images_of_final(server: str) -> float:
    """Return how many images its newest version has run on."""
    metrics = requests.get(f"{server}/metrics").text
    ran = re.findall(r'^serving_model_images_total{model="final".* (\S+)$', metrics, re.MULTILINE)
    return sum(map(float, ran))


@pytest.mark.slow
@pytest.mark.usefixtures("_one_model")
def test_open_files_are_for_bodies_too() -> None:
    """With few files, fewer connections are taken: each can still have a file for its body."""
    log: list[str] = []
    head = POST + b"Content-Length: 200000\r\n\r\n"
    with listening("prlimit", "--nofile=256:256", *COMMAND, log=log) as (server, _):
        clients = [connect(server) for _ in range(100)]
        for client in clients:
            client.sendall(head + bytes(150_000))
        wait_for(lambda: any("accepts 28 connections instead of 800" in line for line in log))
        for client in clients[:20]:
            client.sendall(bytes(50_000))
            assert client.recv(99).startswith(b"HTTP/1.1 4")  # no image
        for client in clients:
            client.close()
        assert requests.post(f"{server}/predict", data=BLACK).status_code == 200
    assert not any("cannot store a body" in line for line in log)


@pytest.mark.slow
@pytest.mark.usefixtures("_one_model")
def test_a_stop_cuts_a_request_that_does_not_end() -> None:
    log: list[str] = []
    # Without its limit, the stop would wait for the client's.
    options = ("--graceful-timeout", "1", "--client-timeout", "40")
    with socket.socket() as client:
        with run_server(*options, log=log) as server:
            address = urlsplit(server)
            client.connect((address.hostname, address.port))
            client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1234")
            wait_for(lambda: in_flight(server) == 2)  # this request for metrics is the other
            # Leaving the block sends SIGTERM, and asserts that the exit status is 0.
        assert client.recv(1) == b""  # no answer, such as the 408 of the client's time limit
    assert any("Worker graceful timeout" in line for line in log)


def is_ok(url: str) -> bool:
    return requests.get(url).status_code == 200
