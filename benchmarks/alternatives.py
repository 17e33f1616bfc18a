"""Compare the service with its alternatives, each with the same three models, in one run.

`uv run --group dev python -m benchmarks.alternatives`; needs wrk. It installs the others from PyPI
into a temporary folder, with the project's versions of ONNX Runtime and Pillow, and gives each the
service's options for ONNX Runtime. benchmarks/rivals holds the code for each: as its quick start
leaves the server, and with the settings that its documentation recommends ("tuned").
"""

import base64
import json
import os
import subprocess
import sys
import sysconfig
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

from benchmarks.rivals.common import BATCH_SECONDS, MAX_BATCH, NAMES
from benchmarks.running import ROOT, precision_option, running
from benchmarks.service import bare
from benchmarks.wrk import CLIENTS, IMAGE, Load, cell, form, load
from serving.inference.classifier import usable_threads
from serving.inference.registry import load_classifiers
from serving.settings import Precision, Settings

WARM_UP = 1  # seconds
COMPARED = 32  # clients, with bare ONNX Runtime
SERVED = "served"  # a folder of version 1 alone: the service would load every version
COMMON = (
    f"onnxruntime=={onnxruntime.__version__}",
    f"numpy<={version('numpy')}",  # PyTriton needs an older one
    *(f"{name}=={version(name)}" for name in ("click", "loky", "pillow", "pydantic")),
)
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
    body: tuple[bytes, str] = (IMAGE.read_bytes(), "image/png")  # and its content type
    environment: dict[str, str] = field(default_factory=dict)

    def answer(self, address: str) -> requests.Response:
        """Send the image."""
        content, content_type = self.body
        headers = {"Content-Type": content_type}
        return requests.post(f"{address}{self.path}", data=content, headers=headers, timeout=10)

    def is_ready(self, address: str) -> bool:
        """Return whether the server answers the image."""
        try:
            return self.answer(address).ok
        except requests.RequestException:
            return False


OURS = {
    f"`python -m serving --workers {workers}`": Alternative(
        (
            *("python", "-m", "serving", "--models-dir", SERVED, "--provider", "cpu"),
            *("--port", "{port}", "--workers", workers),
        ),
        lambda answer: [model["class"] for model in answer["predictions"][0]["models"]],
    )
    for workers in ("1", "2")
}
OF_PROTOCOL = Alternative(
    (),
    lambda answer: [
        output["data"][0] for output in answer["outputs"] if output["datatype"] == "BYTES"
    ],
    path="/v2/models/classifier/infer",
    body=(json.dumps(OPEN_INFERENCE_PROTOCOL).encode(), "application/json"),
)
FLASK = Alternative(
    ("python", "-m", "benchmarks.rivals.naive", "{port}"),
    lambda answer: [model["class"] for model in answer.values()],
    requirements=("flask==3.1.3",),
)
RIVALS = {
    "LitServe": Alternative(
        ("python", "-m", "benchmarks.rivals.with_litserve", "{port}"),
        FLASK.classes,
        requirements=("litserve==0.2.19",),
    ),
    "BentoML": Alternative(
        (
            *("bentoml", "serve", "benchmarks.rivals.with_bentoml:Classifier", "--do-not-track"),
            *("--host", "127.0.0.1", "--port", "{port}"),
        ),
        lambda answer: [model["class"] for model in answer[0].values()],
        requirements=("bentoml==1.4.40",),
        body=form("image"),
    ),
    "MLServer": replace(
        OF_PROTOCOL,
        command=("mlserver", "start", str(ROOT / "benchmarks" / "rivals")),
        # The newest uvloop that its worker starts with.
        requirements=("mlserver==1.7.1", "uvloop==0.21.0"),
        environment={
            "MLSERVER_HOST": "127.0.0.1",
            "MLSERVER_HTTP_PORT": "{port}",
            "MLSERVER_GRPC_PORT": "0",  # any free port
            "MLSERVER_METRICS_PORT": "0",
            "MLSERVER_DEBUG": "false",
        },
    ),
    "PyTriton": replace(
        OF_PROTOCOL,
        command=("python", "-m", "benchmarks.rivals.with_triton", "{port}"),
        requirements=("nvidia-pytriton==0.7.0",),
        # Its workers need this Python's library, not the system's.
        environment={"LD_LIBRARY_PATH": sysconfig.get_config_var("LIBDIR")},
    ),
}


def alternatives(workers: int) -> dict[str, Alternative]:
    """Return every server; those that are tuned have batches and this number of workers."""
    settings = {
        "WORKERS": str(workers),
        "MLSERVER_PARALLEL_WORKERS": str(workers),
        "MLSERVER_MODEL_MAX_BATCH_SIZE": str(MAX_BATCH),
        "MLSERVER_MODEL_MAX_BATCH_TIME": str(BATCH_SECONDS),
    }
    servers = OURS | {"Flask's own server": FLASK}
    for name, rival in RIVALS.items():
        tuned = replace(rival, environment=rival.environment | settings)
        if name == "BentoML":
            tuned = replace(tuned, path="/predict_batch", body=form("images"))
        servers |= {name: rival, f"{name}, tuned": tuned}
    return servers


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
    name: str, server: Alternative, programs: Path, folder: Path, precision: str, seconds: int
) -> Turn:
    """Start a server, check its answer and measure it."""
    home = Path(tempfile.mkdtemp(dir=folder))  # for files that some servers leave behind
    for model in NAMES:
        (home / SERVED / model).mkdir(parents=True)
        (home / SERVED / model / "1").symlink_to(ROOT / "models" / model / "1")
    with running(
        *server.command,
        is_ready=server.is_ready,
        cwd=home,
        HOME=str(home),
        PATH=f"{programs}:{os.environ['PATH']}",
        PYTHONPATH=str(ROOT),
        SERVING_PRECISION=precision,  # the others', too
        **server.environment,
    ) as process:
        classes = server.classes(server.answer(process.address).json())
        if classes != ["ship"] * 3:
            raise click.ClickException(f"{name} classified {IMAGE.name} as {classes}")
        url = f"{process.address}{server.path}"
        load(url, max(CLIENTS), WARM_UP, *server.body)
        server.answer(process.address)  # waits for the requests that wrk abandoned
        loads = {count: load(url, count, seconds, *server.body) for count in CLIENTS}
        return Turn(loads, process.mebibytes(), process.start)


@click.command(context_settings={"show_default": True})
@click.option("--seconds", default=3, help="Length of each measurement.")
@click.option("--rounds", default=3, help="Turns that each server takes.")
@click.option("--workers", default=usable_threads(), help="Of the tuned servers.")
@click.option(
    "--server",
    "names",
    type=click.Choice(list(alternatives(1))),
    multiple=True,
    help="Server to measure; may be repeated.",
)
@precision_option
def main(
    seconds: int, rounds: int, workers: int, names: tuple[str, ...], precision: Precision
) -> None:
    """Print requests/s (median and range of the rounds), p50/p99 in ms, memory and start."""
    every = alternatives(workers)
    servers = {name: every[name] for name in names or every}
    turns: dict[str, list[Turn]] = {name: [] for name in servers}
    models = load_classifiers(Settings(provider="cpu", precision=precision)).choose(version="1")
    limits: list[dict[int, float]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        programs = {
            requirements: install(requirements, folder / str(number))
            for number, requirements in enumerate({s.requirements for s in servers.values()})
        }
        for _ in range(rounds):  # as in benchmarks.servers
            limits.append(bare(models, CLIENTS, seconds / 3))
            for name, server in servers.items():
                where = programs[server.requirements]
                try:
                    turn = take_turn(name, server, where, folder, precision, seconds)
                except click.ClickException as error:  # the others' turns count all the same
                    click.echo(f"{name}: {error.message}", err=True)
                else:
                    turns[name].append(turn)
    print(f"| {precision} | {' | '.join(f'{count} clients' for count in CLIENTS)} | MiB | start |")
    print(f"|---|{'---:|' * (len(CLIENTS) + 2)}")
    limit = {size: median(each[size] for each in limits) for size in CLIENTS}
    rates = " | ".join(f"{rate:,.0f}" for rate in limit.values())
    print(f"| bare ONNX Runtime, in batches of as many | {rates} | | |")
    for name, found in turns.items():
        if found:
            print(row(name, servers[name], found))
    print()
    for count in CLIENTS:
        medians = {
            name: median(turn.loads[count].rate for turn in found)
            for name, found in turns.items()
            if found
        }
        ours, other = (
            max(
                (name for name in medians if (name in OURS) == mine),
                key=medians.__getitem__,
                default=None,
            )
            for mine in (True, False)
        )
        if ours and other:
            print(
                f"{count} clients: {ours}, {medians[ours] / max(limit.values()):.2f} of bare ONNX "
                f"Runtime's best, {medians[ours] / medians[other]:.2f} times {other}."
            )


def row(name: str, server: Alternative, found: list[Turn]) -> str:
    """Return a server's row of the table."""
    release = "" if "," in name else "".join(server.requirements[:1]).partition("==")[2]
    cells = [
        f"{name} {release}".rstrip(),
        *(cell([turn.loads[count] for turn in found]) for count in CLIENTS),
        f"{median(turn.mebibytes for turn in found):.0f}",
        f"{median(turn.start for turn in found):.1f} s",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.alternatives")
