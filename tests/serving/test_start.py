"""What the service does when it cannot start."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import onnxruntime
import pytest
import requests
from click.testing import CliRunner

from serving.__main__ import main
from serving.app import create_app
from serving.errors import StartError
from serving.inference.classifier import start_session
from serving.inference.providers import CPU, CUDA
from serving.inference.registry import load_classifiers
from serving.server.addresses import bind, url
from serving.settings import Settings
from tests.helpers import (
    HANG,
    ROOT,
    children_of,
    error_line,
    refusal,
    replace_model,
    run_python,
    run_server,
    wait_for,
)


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    """A copy of one bundled model."""
    shutil.copytree(ROOT / "models" / "first", tmp_path / "first")
    return tmp_path


def remove_model(version: Path) -> None:
    (version / "model.onnx").unlink()


def flip_a_byte(version: Path) -> None:
    content = bytearray((version / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (version / "model.onnx").write_bytes(content)


def remove_record(version: Path) -> None:
    (version / "metadata.json").unlink()


def cut_record(version: Path) -> None:
    content = (version / "metadata.json").read_text()
    (version / "metadata.json").write_text(content[: len(content) // 2])


def repeat_a_class(version: Path) -> None:
    record = json.loads((version / "metadata.json").read_text())
    record["classes"][0] = "ship"
    (version / "metadata.json").write_text(json.dumps(record))


def take_single_images(version: Path) -> None:
    """Put a model there that says it takes any number of images, and fails on more than one."""
    onnx = pytest.importorskip("onnx")
    helper, types = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=types.FLOAT),
        # Added to a shape, so that no look at the graph tells the shape.
        helper.make_node("ReduceMin", ["pixels"], ["darkest"], keepdims=0),
        helper.make_node("Cast", ["darkest"], ["zero"], to=types.INT64),
        helper.make_node("Add", ["one_row", "zero"], ["shape"]),
        helper.make_node("Reshape", ["pixels", "shape"], ["row"]),
        helper.make_node("MatMul", ["row", "weights"], ["probabilities"]),
    ]
    graph = helper.make_graph(
        nodes,
        "single",
        [helper.make_tensor_value_info("image", types.UINT8, ["batch", 32, 32, 3])],
        [helper.make_tensor_value_info("probabilities", types.FLOAT, ["batch", 10])],
        [
            helper.make_tensor("one_row", types.INT64, [2], [1, 3072]),
            helper.make_tensor("weights", types.FLOAT, [3072, 10], [0.0] * 30720),
        ],
    )
    opset = [helper.make_opsetid("", 13)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    replace_model(version, model.SerializeToString())


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (remove_model, ["model.onnx", "No such file"]),
        (flip_a_byte, ["model.onnx", "does not match the SHA-256"]),
        (remove_record, ["metadata.json", "No such file"]),
        (cut_record, ["metadata.json", "JSON"]),
        (repeat_a_class, ["metadata.json", "'ship' twice"]),
        (take_single_images, ["model.onnx", "fails on two images"]),
    ],
)
def test_a_damaged_model_is_named(
    models_dir: Path, damage: Callable[[Path], None], words: list[str]
) -> None:
    damage(models_dir / "first" / "1")
    with pytest.raises(StartError) as refused:
        load_classifiers(Settings(models_dir=models_dir, provider="cpu", precision="float32"))
    line = str(refused.value)
    assert "first/1" in line
    assert "\n" not in line
    for word in words:
        assert word in line


def test_a_folder_set_aside_is_ignored(models_dir: Path) -> None:
    shutil.copytree(models_dir / "first", models_dir / ".earlier")
    classifiers = load_classifiers(Settings(models_dir=models_dir, provider="cpu"))
    assert {classifier.record.name for classifier in classifiers} == {"first"}


def test_a_damaged_measurement_is_named(models_dir: Path) -> None:
    (models_dir / "familiarity.json").write_text("{}")
    with pytest.raises(StartError, match=rf"{models_dir}/familiarity.json is not valid"):
        create_app(Settings(models_dir=models_dir, provider="cpu"))


def test_no_models(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=f"{tmp_path} contains no models"):
        load_classifiers(Settings(models_dir=tmp_path))


def test_gunicorns_variable_is_read_by_serve_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = ("--models-dir", "/missing")  # the start ends there, once gunicorn is imported
    monkeypatch.setenv("WEB_CONCURRENCY", "")  # as compose.yaml sets it
    assert "/missing is not a folder" in refusal(*missing)
    monkeypatch.setenv("WEB_CONCURRENCY", "auto")
    assert "/missing is not a folder" in refusal(*missing, "--workers", "1")
    here = CliRunner()
    classified = here.invoke(main, ["classify", "/missing.png"])
    assert "/missing.png" in classified.output
    refused = here.invoke(main).output.splitlines()
    assert refused[-1].startswith("Error: Invalid value for '--workers'")
    assert "WEB_CONCURRENCY" in refused[-1]


@pytest.mark.parametrize("package", ["serving", "training"])
def test_one_line_asks_for_a_temporary_folder(package: str) -> None:
    code = (
        "import runpy, tempfile; tempfile._candidate_tempdir_list = lambda: ['/missing']; "
        f"runpy.run_module({package!r}, run_name='__main__')"
    )
    result = run_python("-c", code, "--help")
    line = error_line(result.returncode, result.stderr)
    assert "temporary" in line
    assert "/missing" in line
    assert "TMPDIR" in line


def test_a_taken_port_is_named_before_models_are_loaded(server: str, tmp_path: Path) -> None:
    port = str(urlsplit(server).port)
    line = refusal("--port", port, "--models-dir", str(tmp_path))
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in line
    assert "--port" in line


@pytest.mark.slow
@pytest.mark.usefixtures("_one_model")
def test_the_images_address_takes_ipv6_and_ipv4() -> None:
    [host] = re.findall(r" SERVING_HOST=(\S+)", (ROOT / "Dockerfile").read_text())
    log: list[str] = []
    with run_server("--host", host, log=log) as server:
        port = urlsplit(server).port
        for host in ("127.0.0.1", "[::1]"):
            assert requests.get(f"http://{host}:{port}/health/ready").status_code == 200
    clients = [json.loads(line)["client"] for line in log if "/health/ready" in line]
    assert clients == ["127.0.0.1", "::1"]


def test_a_host_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with bind("::", 0) as listener:
        assert url(listener).startswith("http://0.0.0.0:")


@pytest.mark.slow
def test_a_port_that_another_service_took_meanwhile_is_named() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        port = str(other.getsockname()[1])
        command = (sys.executable, "-m", "serving", "--port", port)
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as starting:
            try:
                wait_for(lambda: children_of(starting.pid))
                [loading] = children_of(starting.pid)
                os.kill(loading, signal.SIGSTOP)
                other.listen()
                os.kill(loading, signal.SIGCONT)
                _, log = starting.communicate(timeout=HANG)
            finally:
                starting.kill()
    assert f"cannot listen on 127.0.0.1:{port}" in error_line(starting.returncode, log)


def test_a_folder_that_may_not_be_read_is_named_but_for_a_disks_own() -> None:
    with tempfile.TemporaryDirectory() as folder:  # which everybody may enter, unlike tmp_path
        models_dir = Path(folder)
        models_dir.chmod(0o755)
        shutil.copytree(ROOT / "models" / "first" / "1", models_dir / "first" / "1")
        user = os.geteuid()
        try:
            (models_dir / "lost+found").mkdir(0)
            os.seteuid(user or 65534)  # root may read everything
            load_classifiers(Settings(models_dir=models_dir, provider="cpu"))
            os.seteuid(user)
            (models_dir / "second").mkdir(0)
            os.seteuid(user or 65534)
            with pytest.raises(StartError, match=r"cannot read .*/second: Permission denied"):
                load_classifiers(Settings(models_dir=models_dir, provider="cpu"))
        finally:
            os.seteuid(user)
            for name in ("lost+found", "second"):
                (models_dir / name).rmdir()


@pytest.mark.slow
def test_models_that_memory_does_not_hold() -> None:
    """The system kills what takes the most; here a signal does, while the models are loaded."""
    command = (sys.executable, "-m", "serving", "--port", "0")
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as starting:
        wait_for(lambda: children_of(starting.pid))
        [loading] = children_of(starting.pid)
        os.kill(loading, signal.SIGKILL)
        _, log = starting.communicate(timeout=HANG)
    line = error_line(starting.returncode, log)
    assert line.startswith("Error: a process was killed while loading the models")
    assert "SERVING_MODELS_DIR" in line


def test_cuda_without_a_gpu() -> None:
    if shutil.which("nvidia-smi"):
        pytest.skip("this machine has a GPU")
    with pytest.raises(StartError, match="CUDA does not work here"):
        load_classifiers(Settings(provider="cuda"))
    # Where it works for a trial alone, ONNX Runtime itself would go on with the CPU.
    path = ROOT / "models" / "first" / "1" / "model.onnx"
    options = onnxruntime.SessionOptions()
    with pytest.raises(StartError, match="does not run on CUDA"):
        start_session(path, path.read_bytes(), 10, options, [CUDA, CPU], [{}, {}])


def test_serving_needs_no_training_library() -> None:
    """The service imports neither the training package nor what only training needs."""
    code = (
        "import sys, serving.__main__; "
        "print(*{'training', 'tensorflow', 'keras', 'onnx', 'matplotlib'} & {*sys.modules})"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == ""
