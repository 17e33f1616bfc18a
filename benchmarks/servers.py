"""Compare WSGI servers with the same application, one after the other, in one run.

`uv run --group dev --with waitress,granian python -m benchmarks.servers`; needs wrk.
"""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click
import requests

from benchmarks.service import CLIENTS, ROOT, Load, load, shared_once_mebibytes

START_LIMIT = 60.0  # seconds
STOP_LIMIT = 5.0
THREADS = "32"
APP = "benchmarks.wsgi:app"
SERVERS = {
    "`python -m serving`": ("serving", "--provider", "cpu", "--port", "{port}"),
    "the same, `--workers 2`": (
        *("serving", "--provider", "cpu", "--port", "{port}", "--workers", "2"),
    ),
    "waitress": ("waitress", "--threads", THREADS, "--listen", "127.0.0.1:{port}", APP),
    "gunicorn gthread": ("gunicorn", "--threads", THREADS, "--bind", "127.0.0.1:{port}", APP),
    "granian": (
        "granian",
        *("--interface", "wsgi", "--blocking-threads", THREADS, "--port", "{port}", APP),
    ),
    "gunicorn's gevent worker, a fixed answer": (
        *("gunicorn", "--worker-class", "gevent", "--bind", "127.0.0.1:{port}"),
        "benchmarks.constant:app",
    ),
}


@dataclass(frozen=True)
class Server:
    """A running server and its processes."""

    address: str
    start: float  # seconds until it was ready
    mark: str  # in the environment of each of its processes, children included

    def pids(self) -> list[int]:
        """Return its processes."""
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):  # ended, or another user's
                if self.mark.encode() in path.read_bytes():
                    found.append(int(path.parent.name))
        return found

    def mebibytes(self) -> float:
        """Return the memory that its processes hold, counting shared memory once."""
        return shared_once_mebibytes(self.pids())


@contextmanager
def running(
    *command: str, is_ready: Callable[[str], bool], cwd: Path = ROOT, **environment: str
) -> Iterator[Server]:
    """Run a server on a free port, yield it once it is ready, and leave no process behind.

    `{port}` in its command or environment is replaced by the port.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    mark = secrets.token_hex()
    variables = {name: value.format(port=port) for name, value in environment.items()}
    started = time.perf_counter()
    with subprocess.Popen(
        [part.format(port=port) for part in command],
        cwd=cwd,
        env={**os.environ, **variables, "BENCHMARK": mark},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            while not is_ready(address):
                if process.poll() is not None or time.perf_counter() > started + START_LIMIT:
                    raise click.ClickException(f"{' '.join(command)} did not start")
                time.sleep(0.1)
            yield Server(address, time.perf_counter() - started, mark)
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_LIMIT)
            for pid in Server(address, 0, mark).pids():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def is_ready(address: str) -> bool:
    """Return whether the service at an address is ready."""
    try:
        return requests.get(f"{address}/health/ready", timeout=1).ok
    except requests.RequestException:
        return False


@click.command(context_settings={"show_default": True})
@click.option("--seconds", default=5, help="Length of each measurement.")
@click.option("--rounds", default=3, help="Turns that each server takes; the median is shown.")
@click.option("--model", default="first", help="Model that answers.")
def main(seconds: int, rounds: int, model: str) -> None:
    """Measure each server's requests per second and 99th percentile of latency."""
    found: dict[tuple[str, int], list[Load]] = {}
    for _ in range(rounds):  # in turns, since a shared machine's speed drifts
        for name, command in SERVERS.items():
            with running(sys.executable, "-m", *command, is_ready=is_ready) as server:
                url = f"{server.address}/predict?version=1&model={model}"
                for clients in CLIENTS:
                    found.setdefault((name, clients), []).append(load(url, clients, seconds))
    print(f"| server | {' | '.join(f'{clients} clients' for clients in CLIENTS)} |")
    print(f"|---|{'---:|' * len(CLIENTS)}")
    for name in SERVERS:
        cells = [cell(found[name, clients]) for clients in CLIENTS]
        print(f"| {name} | {' | '.join(cells)} |")


def cell(loads: list[Load]) -> str:
    """Return median requests/s and p99 latency as text, with the number of failures."""
    failed = sum(load.failed for load in loads)
    shown = (
        f"{median(load.rate for load in loads):,.0f} ({median(load.p99 for load in loads):,.0f} ms)"
    )
    return f"{shown}, {failed} failed" if failed else shown


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.servers")
