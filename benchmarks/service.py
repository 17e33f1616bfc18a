"""Compare the service with its limit, bare ONNX Runtime on ready arrays, in one run.

`uv run --group dev python -m benchmarks.service`; needs Debian's wrk, the load generator.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import get_args

import click
import numpy as np
import requests

from serving.http.uploads import FIELD
from serving.inference.classifier import Classifier
from serving.inference.registry import Classifiers, load_classifiers
from serving.settings import Precision, Settings

ROOT = Path(__file__).parents[1]
IMAGE = ROOT / "serving" / "static" / "ship.png"
CLIENTS = (1, 8, 32, 128)
BATCHES = (1, 8, 32)
BARE_SECONDS = 2.0  # for each batch size
UPLOAD = 128  # images


@dataclass(frozen=True)
class Load:
    """The result for a number of clients, latencies in milliseconds."""

    rate: float  # requests per second
    p50: float
    p95: float
    p99: float
    failed: int


@contextmanager
def running(*command: str) -> Iterator[tuple[str, int, float]]:
    """Run a server; yield its address, its process ID and the seconds until it listened."""
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        for line in process.stderr:
            if match := re.search(r'listening on ([^"\s]+)', line):
                break
        else:
            raise click.ClickException(f"{' '.join(command)} did not start")
        # Drain its log from here on; a full pipe would block it.
        with subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL):
            try:
                yield match[1], process.pid, time.perf_counter() - started
            finally:
                process.terminate()


def load(
    url: str, clients: int, seconds: int, body: Path = IMAGE, content_type: str = "image/png"
) -> Load:
    """Send one image over `clients` connections for `seconds`, from a separate process."""
    result = subprocess.run(
        [
            "wrk",
            "--threads=1",
            f"--connections={clients}",
            f"--duration={seconds}s",
            "--timeout=30s",
            f"--script={Path(__file__).with_name('wrk.lua')}",
            url,
        ],
        env={**os.environ, "BODY": str(body), "CONTENT_TYPE": content_type},
        capture_output=True,
        text=True,
        check=True,
    )
    match = re.search("RESULT (.*)", result.stdout)
    if not match:
        raise click.ClickException(f"wrk printed no result:\n{result.stdout}{result.stderr}")
    found = json.loads(match[1])
    return Load(
        rate=found["requests"] / found["seconds"],
        p50=found["p50"],
        p95=found["p95"],
        p99=found["p99"],
        failed=found["failed"],
    )


def form(name: str, images: int = 1) -> tuple[bytes, str]:
    """Return a form with `images` copies of the image in field `name`, and its content type."""
    files = [(name, (IMAGE.name, IMAGE.read_bytes(), "image/png"))] * images
    request = requests.Request("POST", "http://localhost", files=files).prepare()
    assert isinstance(request.body, bytes)
    return request.body, request.headers["Content-Type"]


def bare(models: list[Classifier]) -> dict[int, float]:
    """Return the images per second through all `models`, one after the other, by batch size."""
    rates = {}
    for size in BATCHES:
        images = np.random.default_rng(0).integers(0, 256, (size, 32, 32, 3), dtype=np.uint8)
        times: list[float] = []
        while sum(times) < BARE_SECONDS:
            started = time.perf_counter()
            for model in models:
                model.classify(images)
            times.append(time.perf_counter() - started)
        rates[size] = size / median(times)
    return rates


def measure(title: str, url: str, limit: dict[int, float], seconds: int) -> None:
    """Print a table of the service's rates and latencies beside the limit."""
    best = max(limit.values())
    sizes = ", ".join(f"{rate:,.0f} in batches of {size}" for size, rate in limit.items())
    print(f"\n### {title}\n\nBare ONNX Runtime, images/s: {sizes}.\n")
    print("| clients | requests/s | of the limit | p50 ms | p95 ms | p99 ms | failed |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for clients in CLIENTS:
        found = load(url, clients, seconds)
        print(
            f"| {clients} | {found.rate:,.0f} | {found.rate / best:.2f} | {found.p50:.1f} "
            f"| {found.p95:.1f} | {found.p99:.1f} | {found.failed} |",
            flush=True,
        )


def measure_upload(url: str, limit: dict[int, float], seconds: int) -> None:
    """Print the latency of one request with many images, beside bare ONNX Runtime."""
    body, content_type = form(FIELD, UPLOAD)
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        found = load(url, 1, seconds, Path(file.name), content_type)
    alone = 1000 * UPLOAD / max(limit.values())
    print(
        f"\n{UPLOAD} images in one request: p50 {found.p50:.0f} ms, "
        f"{found.p50 / alone:.2f} times the {alone:.0f} ms of bare ONNX Runtime; "
        f"{found.failed} failed."
    )


def measure_fairness(url: str, seconds: int) -> None:
    """Print the latency of single images alone and beside a stream of large requests."""
    body, content_type = form(FIELD, UPLOAD)
    with tempfile.NamedTemporaryFile() as file, ThreadPoolExecutor() as pool:
        file.write(body)
        file.flush()
        alone = load(url, 1, seconds)
        stream = pool.submit(load, url, 1, seconds + 2, Path(file.name), content_type)
        time.sleep(1)
        beside = load(url, 1, seconds)
        large = stream.result()
    print(
        f"\nSingle images beside a stream of {UPLOAD} per request: p50 {beside.p50:.1f} ms instead "
        f"of {alone.p50:.1f}, p99 {beside.p99:.1f} ms instead of {alone.p99:.1f} "
        f"({beside.p99 / alone.p99:.1f} times); {beside.failed + large.failed} failed."
    )


def resident_mebibytes(pid: int) -> float:
    """Return the memory that a process and its workers hold, counting shared memory once."""
    workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return shared_once_mebibytes([pid, *map(int, workers)])


def shared_once_mebibytes(pids: Iterable[int]) -> float:
    """Return the memory that processes hold, counting shared memory once."""
    rollups = (Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids)
    return sum(int(re.findall(r"Pss:\s+(\d+)", rollup)[0]) for rollup in rollups) / 1024


@click.command(context_settings={"show_default": True})
@click.option("--seconds", default=10, help="Length of each measurement.")
@click.option("--version", default="1", help="Version of the models.")
@click.option(
    "--precision", type=click.Choice(get_args(Precision)), default="float32", help="The service's."
)
@click.option("--workers", default=1, help="The service's.")
@click.option("--cores", help="Cores for the service, in taskset's notation: 0, or 0,1.")
def main(seconds: int, version: str, precision: Precision, workers: int, cores: str | None) -> None:
    """Measure the service with all three models, and with the smallest one alone."""
    if not shutil.which("wrk"):
        raise click.ClickException("wrk, the load generator, is not installed: apt-get install wrk")
    classifiers: Classifiers = load_classifiers(
        Settings(
            provider="cpu",
            precision=precision,
            threads=len(cores.split(",")) if cores else None,
        )
    )
    every = classifiers.choose(version=version)
    limits = bare(every), bare(every[:1])
    command = (
        *(("taskset", "--cpu-list", cores) if cores else ()),
        *(sys.executable, "-m", "serving", "--port", "0", "--provider", "cpu"),
        *("--precision", precision, "--workers", str(workers)),
    )
    with running(*command) as (address, pid, start):
        print(f"Ready in {start:.1f} s, {resident_mebibytes(pid):.0f} MiB resident.")
        query = f"{address}/predict?version={version}"
        measure("All three models", query, limits[0], seconds)
        measure_upload(query, limits[0], seconds)
        measure_fairness(query, seconds)
        measure("`first` alone", f"{query}&model=first", limits[1], seconds)
        print(f"\n{resident_mebibytes(pid):.0f} MiB resident after the load.")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.service")
