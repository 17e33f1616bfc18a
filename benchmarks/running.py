"""Start a server, see what its processes hold, and leave none behind."""

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click
import requests

ROOT = Path(__file__).parents[1]
SERVING = (sys.executable, "-m", "serving", "--provider", "cpu", "--port", "{port}")
START_LIMIT = 60.0  # seconds
STOP_LIMIT = 5.0
LOG = 2_000  # characters of a log that are shown
MARK = "BENCHMARK"  # variable in the environment of a command's processes, children included

precision_option = click.option(
    "--precision",
    type=click.Choice(["float32", "int8"]),
    default="int8",
    help="Precision of the models.",
)


@dataclass(frozen=True)
class Server:
    """A running server and its processes."""

    address: str
    pid: int
    start: float  # seconds until it was ready
    mark: str

    def pids(self) -> list[int]:
        """Return its processes."""
        return marked(self.mark)

    def mebibytes(self) -> float:
        """Return the memory that its processes hold, counting shared memory once."""
        return shared_once_mebibytes(self.pids())


@contextmanager
def running(
    *command: str, is_ready: Callable[[str], bool] | None = None, cwd: Path = ROOT, **variables: str
) -> Iterator[Server]:
    """Run a server on a free port, yield it once it is ready, and leave no process behind.

    `{port}` in its command or environment variables is replaced by the port. By default, it is
    ready when its probe says so.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    mark = secrets.token_hex()
    environment = {name: value.format(port=port) for name, value in variables.items()}
    started = time.perf_counter()
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            [part.format(port=port) for part in command],
            cwd=cwd,
            env={**os.environ, **environment, MARK: mark},
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            while not (is_ready or probe)(address):
                if process.poll() is not None or time.perf_counter() > started + START_LIMIT:
                    log.seek(0)
                    tail = log.read()[-LOG:]
                    raise click.ClickException(f"{' '.join(command)} did not start:\n{tail}")
                time.sleep(0.05)
            yield Server(address, process.pid, time.perf_counter() - started, mark)
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_LIMIT)
            for pid in marked(mark):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def probe(address: str, kind: str = "ready") -> bool:
    """Return whether the service at an address is ready, or only "live"."""
    try:
        return requests.get(f"{address}/health/{kind}", timeout=1).ok
    except requests.RequestException:
        return False


def marked(mark: str) -> list[int]:
    """Return the processes whose environment, or whose parent's, has the mark."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # ended, or another user's
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def shared_once_mebibytes(pids: Iterable[int]) -> float:
    """Return the memory that processes hold, counting shared memory once."""
    kibibytes = 0
    for pid in pids:
        with suppress(OSError):  # it has just ended
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            kibibytes += sum(map(int, re.findall(r"Pss:\s+(\d+)", rollup)))
    return kibibytes / 1024
