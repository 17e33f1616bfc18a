"""Load a server with wrk (Debian's package of that name), a process of its own."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click
import requests

from benchmarks.running import ROOT

IMAGE = ROOT / "serving" / "static" / "ship.png"
CLIENTS = (1, 8, 32, 128)


@dataclass(frozen=True)
class Load:
    """The result for a number of clients, latencies in milliseconds."""

    requests: int
    rate: float  # requests per second
    p50: float
    p95: float
    p99: float
    longest: float
    failed: int


def load(
    url: str,
    clients: int,
    seconds: int,
    body: bytes | None = None,
    content_type: str = "image/png",
    *,
    patient: bool = False,
) -> Load:
    """Send one body, by default the image, over `clients` connections for `seconds`.

    If they are `patient`, they wait after a refusal for as long as it says.
    """
    if not shutil.which("wrk"):
        raise click.ClickException("wrk, the load generator, is not installed: apt-get install wrk")
    with tempfile.NamedTemporaryFile() as file:
        file.write(IMAGE.read_bytes() if body is None else body)
        file.flush()
        result = subprocess.run(
            [
                *("wrk", "--threads=1", f"--connections={clients}", f"--duration={seconds}s"),
                *("--timeout=30s", f"--script={Path(__file__).with_name('wrk.lua')}", url),
            ],
            env={
                **os.environ,
                **{"BODY": file.name, "CONTENT_TYPE": content_type},
                **({"PATIENT": "1"} if patient else {}),
            },
            capture_output=True,
            text=True,
            check=True,
        )
    match = re.search("RESULT (.*)", result.stdout)
    if not match:
        raise click.ClickException(f"wrk printed no result:\n{result.stdout}{result.stderr}")
    found = json.loads(match[1])
    return Load(rate=found["requests"] / found.pop("seconds"), **found)


def form(name: str, images: int = 1) -> tuple[bytes, str]:
    """Return a form with `images` copies of the image in field `name`, and its content type."""
    files = [(name, (IMAGE.name, IMAGE.read_bytes(), "image/png"))] * images
    request = requests.Request("POST", "http://localhost", files=files).prepare()
    assert isinstance(request.body, bytes)
    return request.body, request.headers["Content-Type"]


def cell(loads: list[Load]) -> str:
    """Return requests/s (median, range) and the medians of p50 and p99, with the failures."""
    rates = [load.rate for load in loads]
    shown = f"{median(rates):,.0f} ({min(rates):,.0f}–{max(rates):,.0f})"
    p50, p99 = median(load.p50 for load in loads), median(load.p99 for load in loads)
    failed = sum(load.failed for load in loads)
    return f"{shown} {p50:,.0f}/{p99:,.0f}" + (f", {failed} failed" if failed else "")
