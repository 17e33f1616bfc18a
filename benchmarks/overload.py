"""Send the service several times as many requests as it can answer.

`uv run --group dev python -m benchmarks.overload`; needs wrk, which measures what it can answer.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from urllib.parse import urlsplit

import click
import numpy as np

from benchmarks.running import SERVING, Server, precision_option, running
from benchmarks.wrk import IMAGE, load

SETTLED = 10  # seconds after which memory should no longer grow
LIMIT = 60.0  # seconds after which a request counts as unanswered


@dataclass(frozen=True)
class Answer:
    """The outcome of a request; status 0 means no answer."""

    status: int
    seconds: float


async def send(host: str, port: int, request: bytes) -> Answer:
    """Send a request over its own connection."""
    started = time.perf_counter()
    try:
        async with asyncio.timeout(LIMIT):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request)
                answer = await reader.read()
            finally:
                writer.close()
    except OSError:  # TimeoutError is one
        return Answer(0, time.perf_counter() - started)
    status = int(answer.split(maxsplit=2)[1]) if answer else 0
    return Answer(status, time.perf_counter() - started)


async def overload(server: Server, rate: float, seconds: int) -> None:
    """Send `rate` requests per second regardless of their outcome, and print the outcomes."""
    url = urlsplit(server.address)
    assert url.hostname
    assert url.port
    image = IMAGE.read_bytes()
    head = (
        f"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Content-Type: image/png\r\nContent-Length: {len(image)}\r\n\r\n"
    )
    sent: list[asyncio.Task[Answer]] = []
    memory: list[float] = []
    started = time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        while len(sent) < rate * elapsed:
            sent.append(asyncio.create_task(send(url.hostname, url.port, head.encode() + image)))
        if len(memory) <= elapsed:
            memory.append(server.mebibytes())
        await asyncio.sleep(0.005)
    answers = await asyncio.gather(*sent)
    print("| answer | requests | p50 ms | p99 ms |\n|---|---:|---:|---:|")
    for status, count in sorted(Counter(answer.status for answer in answers).items()):
        times = [1000 * answer.seconds for answer in answers if answer.status == status]
        p50, p99 = np.percentile(times, (50, 99))
        print(f"| {status or 'none'} | {count:,} | {p50:,.0f} | {p99:,.0f} |")
    print(
        f"\nResident: {memory[0]:.0f} MiB at first, {memory[min(SETTLED, len(memory) - 1)]:.0f} "
        f"after {SETTLED} s, {server.mebibytes():.0f} at the end."
    )


@click.command(context_settings={"show_default": True})
@click.option("--seconds", default=60, help="Length of the overload.")
@click.option("--factor", default=4.0, help="Requests sent, as a multiple of those answered.")
@precision_option
def main(seconds: int, factor: float, precision: str) -> None:
    """Measure the rate of all three models at 32 clients, then send a multiple of it."""
    with running(*SERVING, "--precision", precision) as server:
        rate = load(f"{server.address}/predict", clients=32, seconds=5).rate
        print(
            f"{rate:.0f} requests/s at 32 clients; sending {factor * rate:.0f} for {seconds} s.\n"
        )
        asyncio.run(overload(server, factor * rate, seconds))


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.overload")
