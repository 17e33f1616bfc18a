"""The same application under other servers than `python -m serving` runs here."""

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pytest
import requests

from serving.app import create_app
from serving.settings import Settings
from tests.helpers import ROOT, free_port, png, run_python, takes_connections, wait_for

pytestmark = pytest.mark.usefixtures("_one_model")


@pytest.mark.slow
def test_the_server_for_windows_serves_it(image: npt.NDArray[np.uint8]) -> None:
    code = (
        "from serving.observability.logs import configure_logging; configure_logging(); "
        "from serving.settings import Settings; from serving.server.windows import serve; "
        "serve(Settings(port=%d))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code % 0], cwd=ROOT, stderr=subprocess.PIPE, text=True
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
            taken = run_python("-c", code % (urlsplit(address).port or 0))
            assert "in use; set --host" in taken.stderr
        finally:
            process.kill()


def test_it_needs_nothing_that_windows_lacks() -> None:
    """The service's own modules; those of others have their own ways on Windows."""
    code = """
import importlib, os, sys
import serving.app  # with the libraries that it needs
for name in [name for name in sys.modules if name.split(".")[0] == "serving"]:
    del sys.modules[name]
sys.modules["fcntl"] = sys.modules["resource"] = None
del os.register_at_fork, os.sysconf
import serving.server.windows
"""
    assert run_python("-c", code).stderr == ""


@pytest.mark.slow
def test_gunicorns_own_command_line_serves_it(image: npt.NDArray[np.uint8]) -> None:
    port = free_port()
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


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--threads", "4"], "use --worker-class gevent instead of --threads"),
        (["--worker-class", "gevent", "--preload"], "omit --preload"),
    ],
)
def test_a_gunicorn_that_cannot_serve_it_does_not_start(options: list[str], words: str) -> None:
    result = run_python(
        "-m", "gunicorn", "--bind", "127.0.0.1:0", *options, "serving.app:create_app()"
    )
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert words in line


def test_a_server_with_threads_is_not_ready() -> None:
    client = create_app(Settings(provider="cpu")).test_client()
    assert client.get("/health/ready").status_code == 200
    with ThreadPoolExecutor(1) as another:
        for answer in (
            another.submit(client.get, "/health/ready").result(),
            another.submit(client.post, "/predict", data=b"an image").result(),
        ):
            assert answer.status_code == 503
            assert "--worker-class gevent" in answer.get_json()["detail"]
