"""Compare the service with its limit, bare ONNX Runtime on ready arrays, in one run.

`uv run --group dev python -m benchmarks.service`; needs Debian's wrk, the load generator.
"""

import os
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from threading import Timer

import click
import numpy as np

from benchmarks.running import SERVING, Server, precision_option, running
from benchmarks.wrk import CLIENTS, form, load
from serving.http.uploads import FIELD
from serving.inference.classifier import Classifier
from serving.inference.registry import load_classifiers
from serving.settings import Precision, Settings

UPLOAD = 128  # images
BESIDE = ((1, 1), (8, 4))  # clients with one image, and with UPLOAD images a request
RELOAD_CLIENTS = 8
RELOAD_SECONDS = 5  # a reload takes a good part of them, so that the percentile shows it
RELOAD_TURNS = 3


def bare(
    models: Sequence[Classifier], sizes: Sequence[int] = (1, 8, 32), seconds: float = 2
) -> dict[int, float]:
    """Return the images per second through all `models`, one after the other, by batch size."""
    rates = {}
    for size in sizes:
        images = np.random.default_rng(0).integers(0, 256, (size, 32, 32, 3), dtype=np.uint8)
        times: list[float] = []
        while sum(times) < seconds:
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
    found = load(url, 1, seconds, *form(FIELD, UPLOAD))
    alone = 1000 * UPLOAD / max(limit.values())
    print(
        f"\n{UPLOAD} images in one request: p50 {found.p50:.0f} ms, "
        f"{found.p50 / alone:.2f} times the {alone:.0f} ms of bare ONNX Runtime; "
        f"{found.failed} failed."
    )


def measure_beside(url: str, seconds: int) -> None:
    """Print the latency of single images alone and beside clients with many images a request."""
    print(f"\n| clients | beside, {UPLOAD} images each | p50 ms | alone | p99 ms | alone ", end="")
    print("| failed | of the large ones |\n|---:|---:|---:|---:|---:|---:|---:|---:|")
    for singles, streams in BESIDE:
        alone = load(url, singles, seconds)
        with ThreadPoolExecutor() as pool:
            body = form(FIELD, UPLOAD)
            large = pool.submit(load, url, streams, seconds + 2, *body, patient=True)
            time.sleep(1)
            beside = load(url, singles, seconds)
            streamed = large.result()
        print(
            f"| {singles} | {streams} | {beside.p50:.1f} | {alone.p50:.1f} | {beside.p99:.1f} "
            f"| {alone.p99:.1f} | {beside.failed} | {streamed.failed} of {streamed.requests} |",
            flush=True,
        )


def measure_reload(server: Server, url: str) -> None:
    """Print the latency of single images with a reload of the models and without one."""
    p99: list[list[float]] = [[], []]
    longest = failed = 0.0
    for _ in range(RELOAD_TURNS):
        without = load(url, RELOAD_CLIENTS, RELOAD_SECONDS)
        Timer(1, os.kill, (server.pid, signal.SIGHUP)).start()
        found = load(url, RELOAD_CLIENTS, RELOAD_SECONDS)
        p99[0].append(without.p99)
        p99[1].append(found.p99)
        longest = max(longest, found.longest)
        failed += found.failed
    quiet, reloaded = map(median, p99)
    print(
        f"\n{RELOAD_CLIENTS} clients for {RELOAD_SECONDS} s with a reload: p99 {reloaded:.0f} ms, "
        f"{reloaded / quiet:.1f} times the {quiet:.0f} ms without one; "
        f"the longest wait {longest:.0f} ms; {failed:.0f} failed."
    )


@click.command(context_settings={"show_default": True})
@click.option("--seconds", default=10, help="Length of each measurement.")
@click.option("--version", default="1", help="Version of the models.")
@precision_option
@click.option("--workers", default=1, help="The service's.")
@click.option("--cores", help="Cores for the service, in taskset's notation: 0, or 0,1.")
def main(seconds: int, version: str, precision: Precision, workers: int, cores: str | None) -> None:
    """Measure the service with all three models, and with the smallest one alone."""
    threads = len(cores.split(",")) if cores else None
    every = load_classifiers(Settings(provider="cpu", precision=precision, threads=threads)).choose(
        version=version
    )
    limits = bare(every), bare(every[:1])
    command = (
        *(("taskset", "--cpu-list", cores) if cores else ()),
        *(*SERVING, "--precision", precision, "--workers", str(workers)),
    )
    with running(*command) as server:
        print(f"Ready in {server.start:.1f} s, {server.mebibytes():.0f} MiB resident.")
        url = f"{server.address}/predict?version={version}"
        measure("All three models", url, limits[0], seconds)
        measure_upload(url, limits[0], seconds)
        measure_beside(url, seconds)
        measure("`first` alone", f"{url}&model=first", limits[1], seconds)
        print(f"\n{server.mebibytes():.0f} MiB resident after the load.")
        measure_reload(server, url)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.service")
