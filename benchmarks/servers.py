"""Compare WSGI servers with the same application, one after the other, in one run.

`uv run --group dev --with waitress,granian python -m benchmarks.servers`; needs wrk.
"""

import sys
from functools import partial

import click

from benchmarks.running import SERVING, precision_option, probe, running
from benchmarks.wrk import CLIENTS, Load, cell, load

THREADS = "32"
APP = "benchmarks.wsgi:app"
IS_READY = partial(probe, kind="live")  # "ready" starts a decoder, which needs gevent's main loop
PYTHON = (sys.executable, "-m")
SERVERS = {
    "`python -m serving`": SERVING,
    "the same, `--workers 2`": (*SERVING, "--workers", "2"),
    "waitress": (*PYTHON, "waitress", "--threads", THREADS, "--listen", "127.0.0.1:{port}", APP),
    "gunicorn gthread": (
        *(*PYTHON, "gunicorn", "--threads", THREADS, "--bind", "127.0.0.1:{port}", APP),
    ),
    "granian": (
        *(*PYTHON, "granian", "--interface", "wsgi", "--blocking-threads", THREADS),
        *("--port", "{port}", APP),
    ),
    "gunicorn's gevent worker, a fixed answer": (
        *(*PYTHON, "gunicorn", "--worker-class", "gevent", "--bind", "127.0.0.1:{port}"),
        "benchmarks.constant:app",
    ),
}


@click.command(context_settings={"show_default": True})
@click.option("--seconds", default=5, help="Length of each measurement.")
@click.option("--rounds", default=3, help="Turns that each server takes.")
@click.option("--model", default="first", help="Model that answers.")
@precision_option
def main(seconds: int, rounds: int, model: str, precision: str) -> None:
    """Print each server's requests/s (median and range of the rounds), and p50/p99 in ms."""
    found: dict[tuple[str, int], list[Load]] = {}
    for _ in range(rounds):  # in turns, since a shared machine's speed drifts
        for name, command in SERVERS.items():
            with running(*command, is_ready=IS_READY, SERVING_PRECISION=precision) as server:
                url = f"{server.address}/predict?version=1&model={model}"
                for clients in CLIENTS:
                    found.setdefault((name, clients), []).append(load(url, clients, seconds))
    print(f"| server | {' | '.join(f'{clients} clients' for clients in CLIENTS)} |")
    print(f"|---|{'---:|' * len(CLIENTS)}")
    for name in SERVERS:
        cells = [cell(found[name, clients]) for clients in CLIENTS]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.servers")
