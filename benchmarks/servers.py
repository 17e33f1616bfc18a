"""The same application behind several WSGI servers, one after the other, in one run.

`uv run --group dev --with gunicorn --with granian python -m benchmarks.servers`; needs wrk.
"""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import click
import requests

from benchmarks.service import CLIENTS, ROOT, Load, load

START_LIMIT = 30.0  # seconds
THREADS = "32"
APP = "benchmarks.wsgi:app"
SERVERS = {
    "`python -m serving`": ("serving", "--provider", "cpu", "--port", "{port}"),
    "waitress": ("waitress", "--threads", THREADS, "--listen", "127.0.0.1:{port}", APP),
    "gunicorn gthread": ("gunicorn", "--threads", THREADS, "--bind", "127.0.0.1:{port}", APP),
    "granian": (
        "granian",
        *("--interface", "wsgi", "--blocking-threads", THREADS, "--port", "{port}", APP),
    ),
}


@contextmanager
def running(*command: str) -> Iterator[str]:
    """Run a Python module as a server on a free port; yield its address once it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with subprocess.Popen(
        [sys.executable, "-m", *(part.format(port=port) for part in command)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            deadline = time.monotonic() + START_LIMIT
            while not _is_ready(address):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise click.ClickException(f"{' '.join(command)} did not start")
                time.sleep(0.1)
            yield address
        finally:
            process.terminate()


def _is_ready(address: str) -> bool:
    try:
        return requests.get(f"{address}/health/ready", timeout=1).ok
    except requests.RequestException:
        return False


@click.command(context_settings={"show_default": True})
@click.option("--seconds", default=5, help="Length of each measurement.")
@click.option("--rounds", default=3, help="Turns that each server takes; the median is shown.")
@click.option("--model", default="first", help="Model that answers.")
def main(seconds: int, rounds: int, model: str) -> None:
    """Measure each server's requests a second and 99th percentile of latency."""
    found: dict[tuple[str, int], list[Load]] = {}
    for _ in range(rounds):  # in turns, since a shared machine is faster at one time than another
        for name, command in SERVERS.items():
            with running(*command) as address:
                url = f"{address}/predict?version=1&model={model}"
                for clients in CLIENTS:
                    found.setdefault((name, clients), []).append(load(url, clients, seconds))
    print(f"| server | {' | '.join(f'{clients} clients' for clients in CLIENTS)} |")
    print(f"|---|{'---:|' * len(CLIENTS)}")
    for name in SERVERS:
        cells = [_cell(found[name, clients]) for clients in CLIENTS]
        print(f"| {name} | {' | '.join(cells)} |")


def _cell(loads: list[Load]) -> str:
    failed = sum(load.failed for load in loads)
    shown = (
        f"{median(load.rate for load in loads):,.0f} ({median(load.p99 for load in loads):,.0f} ms)"
    )
    return f"{shown}, {failed} failed" if failed else shown


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.servers")
