"""Compare the service with its alternatives, each with the same three models, in one run.

`uv run --group dev python -m benchmarks.alternatives`; needs wrk. It installs the others from PyPI
into a temporary folder, with the project's versions of ONNX Runtime, NumPy and Pillow, and gives
each the service's options for ONNX Runtime. benchmarks/rivals holds the code for each.
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import click
import onnxruntime
import requests

from benchmarks.rivals.common import NAMES
from benchmarks.servers import cell, running
from benchmarks.service import CLIENTS, IMAGE, ROOT, Load, form, load

WARM_UP = 2  # seconds
SERVED = "served"  # a folder of version 1 alone: the service would load every version
COMMON = (
    f"onnxruntime=={onnxruntime.__version__}",
    *(
        f"{name}=={version(name)}"
        for name in ("flask", "loky", "numpy", "orjson", "pillow", "pydantic", "pydantic-settings")
    ),
)
FORM, FORM_TYPE = form("images")
OPEN_INFERENCE_PROTOCOL = {
    "inputs": [
        {
            "name": "image",
            "shape": [1, 1],
            "datatype": "BYTES",
            "parameters": {"content_type": "base64"},
            "data": [base64.b64encode(IMAGE.read_bytes()).decode()],
        }
    ]
}


@dataclass(frozen=True)
class Alternative:
    """How to install, start and query a server, and how to read the three classes in its answer."""

    command: tuple[str, ...]
    classes: Callable[[Any], list[str]]
    requirements: tuple[str, ...] = ()
    path: str = "/predict"
    body: bytes = IMAGE.read_bytes()
    content_type: str = "image/png"
    environment: dict[str, str] = field(default_factory=dict)

    def answer(self, address: str) -> requests.Response:
        """Send the image."""
        return requests.post(
            f"{address}{self.path}",
            data=self.body,
            headers={"Content-Type": self.content_type},
            timeout=10,
        )

    def is_ready(self, address: str) -> bool:
        """Return whether the server answers the image."""
        try:
            return self.answer(address).ok
        except requests.RequestException:
            return False


ALTERNATIVES = {
    "`python -m serving`": Alternative(
        (
            *("python", "-m", "serving", "--models-dir", SERVED),
            *("--provider", "cpu", "--port", "{port}"),
        ),
        lambda answer: [model["class"] for model in answer["predictions"][0]["models"]],
    ),
    "Flask's own server": Alternative(
        ("python", "-m", "benchmarks.rivals.naive", "{port}"),
        lambda answer: [model["class"] for model in answer.values()],
        requirements=("flask==3.1.3",),
    ),
    "LitServe": Alternative(
        ("python", "-m", "benchmarks.rivals.with_litserve", "{port}"),
        lambda answer: [model["class"] for model in answer.values()],
        requirements=("litserve==0.2.19",),
    ),
    "BentoML": Alternative(
        (
            *("bentoml", "serve", "benchmarks.rivals.with_bentoml:Classifier", "--do-not-track"),
            *("--host", "127.0.0.1", "--port", "{port}"),
        ),
        lambda answer: [model["class"] for model in answer[0].values()],
        requirements=("bentoml==1.4.40",),
        body=FORM,
        content_type=FORM_TYPE,
    ),
    "MLServer": Alternative(
        ("mlserver", "start", str(ROOT / "benchmarks" / "rivals")),
        lambda answer: [
            output["data"][0] for output in answer["outputs"] if output["datatype"] == "BYTES"
        ],
        # The newest uvloop that its worker starts with.
        requirements=("mlserver==1.7.1", "uvloop==0.21.0"),
        path="/v2/models/classifier/infer",
        body=json.dumps(OPEN_INFERENCE_PROTOCOL).encode(),
        content_type="application/json",
        environment={
            "MLSERVER_HOST": "127.0.0.1",
            "MLSERVER_HTTP_PORT": "{port}",
            "MLSERVER_GRPC_PORT": "0",  # any free port
            "MLSERVER_METRICS_PORT": "0",
            "MLSERVER_DEBUG": "false",
        },
    ),
}
# Each with one worker on both cores, and with two workers on one core each.
ALTERNATIVES |= {
    f"{name}, 2 workers": replace(
        ALTERNATIVES[name],
        environment={
            **ALTERNATIVES[name].environment,
            **{"WEB_CONCURRENCY": "2", "WORKERS": "2", "MLSERVER_PARALLEL_WORKERS": "2"},
        },
    )
    for name in ("`python -m serving`", "LitServe", "BentoML", "MLServer")
}


@dataclass(frozen=True)
class Turn:
    """A server's results in one turn."""

    loads: dict[int, Load]  # by number of clients
    mebibytes: float  # after them
    start: float  # seconds


def install(requirements: tuple[str, ...], folder: Path) -> Path:
    """Install the requirements, if there are any; return the folder of the server's programs."""
    if not requirements:
        return Path(sys.executable).parent
    subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, folder], check=True)
    packages = (*requirements, *COMMON)
    subprocess.run(["uv", "pip", "install", "--quiet", "--python", folder, *packages], check=True)
    return folder / "bin"


def take_turn(
    name: str, programs: Path, folder: Path, clients: tuple[int, ...], seconds: int
) -> Turn:
    """Start a server, check its answer and measure it."""
    alternative = ALTERNATIVES[name]
    home = Path(tempfile.mkdtemp(dir=folder))  # for files that some servers leave behind
    for model in NAMES:
        (home / SERVED / model).mkdir(parents=True)
        (home / SERVED / model / "1").symlink_to(ROOT / "models" / model / "1")
    body = home / "body"
    body.write_bytes(alternative.body)
    with running(
        *alternative.command,
        is_ready=alternative.is_ready,
        cwd=home,
        HOME=str(home),
        PATH=f"{programs}:{os.environ['PATH']}",
        PYTHONPATH=str(ROOT),
        **alternative.environment,
    ) as server:
        classes = alternative.classes(alternative.answer(server.address).json())
        if classes != ["ship"] * 3:
            raise click.ClickException(f"{name} classified {IMAGE.name} as {classes}")
        url = f"{server.address}{alternative.path}"
        sent = body, alternative.content_type
        load(url, max(clients), WARM_UP, *sent)
        alternative.answer(
            server.address
        )  # waits for the requests that the load generator abandoned
        loads = {count: load(url, count, seconds, *sent) for count in clients}
        return Turn(loads, server.mebibytes(), server.start)


@click.command(context_settings={"show_default": True})
@click.option("--seconds", default=5, help="Length of each measurement.")
@click.option("--rounds", default=3, help="Turns that each server takes; the median is shown.")
@click.option("--clients", default=CLIENTS, multiple=True, help="Connections; may be repeated.")
def main(seconds: int, rounds: int, clients: tuple[int, ...]) -> None:
    """Measure requests a second, the 99th percentile of latency, memory and start."""
    turns: dict[str, list[Turn]] = {name: [] for name in ALTERNATIVES}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        programs = {
            name: install(alternative.requirements, folder / str(number))
            for number, (name, alternative) in enumerate(ALTERNATIVES.items())
        }
        for _ in range(rounds):  # as in benchmarks.servers
            for name in ALTERNATIVES:
                turns[name].append(take_turn(name, programs[name], folder, clients, seconds))
    print(f"| server | {' | '.join(f'{count} clients' for count in clients)} | MiB | start |")
    print(f"|---|{'---:|' * (len(clients) + 2)}")
    for name, alternative in ALTERNATIVES.items():
        release = "".join(alternative.requirements[:1]).partition("==")[2]
        cells = [
            f"{name} {release}".rstrip(),
            *(cell([turn.loads[count] for turn in turns[name]]) for count in clients),
            f"{median(turn.mebibytes for turn in turns[name]):.0f}",
            f"{median(turn.start for turn in turns[name]):.1f} s",
        ]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.alternatives")
