"""Hold the service under mixed traffic, with reloads and killed workers, and judge it.

`uv run --group dev python -m benchmarks.soak --minutes 60`
"""

import io
import itertools
import os
import signal
import socket
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from threading import Event

import click
import numpy as np
import requests
from PIL import Image

from benchmarks.running import SERVING, Server, precision_option, running, shared_once_mebibytes
from benchmarks.wrk import IMAGE, form
from serving.http.uploads import FIELD

# In an hour's run, in seconds; closer together in a shorter one. None falls on another.
RELOADS = range(150, 3600, 300)
KILLS = range(195, 3500, 420)  # none in the last minute
SETTLED = 5  # the minute that the last one is compared with
GROWTH = 0.05  # allowed, of memory and of open files
LOOK = 5.0  # seconds between two looks at memory, open files and /metrics
AFTER_KILL = 2.0  # seconds in which the clients of a killed worker notice
TIMEOUT = 60.0  # seconds without an answer after which it is lost
PHOTO = (4000, 3000)  # pixels
PAUSE = 0.2  # seconds between two requests of a client, except for single images
SINGLES = 4  # clients
PHOTOS = 2  # clients: both decoders of a worker run


@dataclass
class Record:
    """What came of the requests, and what the processes held."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    lost: list[float] = field(default_factory=list)  # times of requests without an answer
    killed: list[float] = field(default_factory=list)  # times of workers' ends
    mebibytes: list[float] = field(default_factory=list)  # of each minute
    files: list[int] = field(default_factory=list)

    def request(
        self, session: requests.Session, kind: str, method: str, url: str, body: bytes = b""
    ) -> None:
        """Send a request, and note its answer or its loss."""
        try:
            answer = session.request(method, url, data=body, timeout=TIMEOUT)
        except requests.RequestException:
            self.lost.append(time.monotonic())
        else:
            self.statuses[kind, answer.status_code] += 1


def clients() -> list[tuple[str, list[tuple[bytes, str]]]]:
    """Return the kind of each client, and the bodies that it sends in turn, with their types."""
    ship = IMAGE.read_bytes()
    noise = np.random.default_rng(0).integers(0, 256, (PHOTO[1] // 50, PHOTO[0] // 50, 3))
    photo = io.BytesIO()
    Image.fromarray(noise.astype(np.uint8)).resize(PHOTO).save(photo, "JPEG")
    bad = [b"", b"no image", ship[: len(ship) // 2], photo.getvalue()[:100_000]]
    return [
        *SINGLES * [("single image", [(ship, "image/png")])],
        ("128 images", [form(FIELD, 128)]),
        *PHOTOS * [("photo", [(photo.getvalue(), "image/jpeg")])],
        ("bad file", [*((body, "image/png") for body in bad), form("no such field")]),
    ]


def send(
    kind: str, sent: list[tuple[bytes, str]], address: str, stop: Event, record: Record
) -> None:
    """Be a client: send one body after the other, and note the answers.

    Single images share a connection; the others have one each, so that both workers get some.
    """
    single = kind == "single image"
    with requests.Session() as session:
        session.headers["Connection"] = "keep-alive" if single else "close"
        for body, content_type in itertools.cycle(sent):
            if stop.wait(0 if single else PAUSE):
                return
            session.headers["Content-Type"] = content_type
            record.request(session, kind, "POST", f"{address}/predict", body)


def hang_up(address: str, stop: Event) -> None:
    """Be a client that leaves: in the middle of its body, and before the answer."""
    host, _, port = address.removeprefix("http://").partition(":")
    body, content_type = form(FIELD, 128)
    lines = ("POST /predict HTTP/1.1", "Host: x", f"Content-Type: {content_type}")
    head = "\r\n".join((*lines, f"Content-Length: {len(body)}", "", ""))
    for end in itertools.cycle((len(body) // 2, len(body))):
        if stop.wait(PAUSE):
            return
        with suppress(OSError), socket.create_connection((host, int(port))) as connection:
            connection.sendall(head.encode() + body[:end])


def disturb(server: Server, scale: float, stop: Event, record: Record) -> None:
    """Reload the models and kill workers at their times."""
    started = time.monotonic()
    for second, is_kill in sorted([(s, False) for s in RELOADS] + [(s, True) for s in KILLS]):
        if stop.wait(max(0, started + second * scale - time.monotonic())):
            return
        if is_kill:
            children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
            record.killed.append(time.monotonic())
            os.kill(int(children.split()[0]), signal.SIGKILL)
        else:
            os.kill(server.pid, signal.SIGHUP)


def open_files(pids: list[int]) -> int:
    """Return how many files processes have open."""
    count = 0
    for pid in pids:
        with suppress(OSError):  # it has just ended
            count += len([*Path(f"/proc/{pid}/fd").iterdir()])
    return count


def watch(server: Server, scale: float, record: Record) -> None:
    """Print what the processes hold in each minute."""
    print("| minute | MiB | open files | answers | lost |\n|---:|---:|---:|---:|---:|")
    started = time.monotonic()
    for minute in range(1, 61):
        looks: list[tuple[float, int]] = []
        while (now := time.monotonic()) < started + 60 * minute * scale or not looks:
            record.request(requests.Session(), "metrics", "GET", f"{server.address}/metrics")
            pids = server.pids()
            looks.append((shared_once_mebibytes(pids), open_files(pids)))
            time.sleep(max(0, now + LOOK * scale - time.monotonic()))
        record.mebibytes.append(median(held for held, _ in looks))
        record.files.append(min(files for _, files in looks))  # connections come and go
        print(
            f"| {minute} | {record.mebibytes[-1]:.0f} | {record.files[-1]} "
            f"| {record.statuses.total():,} | {len(record.lost)} |",
            flush=True,
        )


def judge(record: Record) -> bool:
    """Print the answers and the verdict; return whether the service held."""
    print("\n| request | status | answers |\n|---|---:|---:|")
    for (kind, status), count in sorted(record.statuses.items()):
        print(f"| {kind} | {status} | {count:,} |")
    excused = [any(0 <= at - kill <= AFTER_KILL for kill in record.killed) for at in record.lost]
    errors = sum(n for (_, code), n in record.statuses.items() if code >= 500 and code != 503)
    memory, files = (
        abs(values[-1] / values[SETTLED - 1] - 1) for values in (record.mebibytes, record.files)
    )
    verdicts = {
        f"memory changed by {memory:.1%} since minute {SETTLED}": memory <= GROWTH,
        f"open files changed by {files:.1%}": files <= GROWTH,
        f"{errors} answers were errors of the service": errors == 0,
        f"{excused.count(False)} answers lost: {excused.count(True)} more with the "
        f"{len(record.killed)} workers killed": all(excused),
    }
    print("", *(f"- {'yes' if holds else 'NO'}: {w}" for w, holds in verdicts.items()), sep="\n")
    return all(verdicts.values())


@click.command(context_settings={"show_default": True})
@click.option("--minutes", default=60.0, help="Fewer only try the script: all happens faster.")
@precision_option
def main(minutes: float, precision: str) -> None:
    """Send every kind of request to two workers; status 1 if memory grew or an answer was lost."""
    scale, stop, record = minutes / 60, Event(), Record()
    command = (*SERVING, "--workers", "2", "--precision", precision)
    with running(*command) as server, ThreadPoolExecutor(16) as pool:  # for all tasks
        tasks = [
            *(pool.submit(send, *each, server.address, stop, record) for each in clients()),
            pool.submit(hang_up, server.address, stop),
            pool.submit(disturb, server, scale, stop, record),
        ]
        try:
            watch(server, scale, record)
        finally:
            stop.set()
        for task in tasks:
            task.result()
    sys.exit(not judge(record))


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.soak")
