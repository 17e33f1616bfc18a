"""Compare this checkout's service with another checkout's, in interleaved runs.

`git worktree add ../baseline COMMIT && uv sync --project ../baseline`, then
`uv run --group dev python -m benchmarks.revisions ../baseline`; needs Debian's wrk.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click

from benchmarks.running import ROOT, running
from benchmarks.wrk import Load, load

CLIENTS = (1, 32)


@dataclass(frozen=True)
class Arm:
    """A service to measure: a checkout and its options."""

    title: str
    checkout: Path
    options: tuple[str, ...] = ()

    def command(self, precision: str) -> tuple[str, ...]:
        """Return the command that starts it."""
        python = self.checkout / ".venv" / "bin" / "python"
        chosen = str(python) if self.checkout != ROOT else sys.executable
        return (
            *(chosen, "-m", "serving", "--provider", "cpu", "--port", "{port}"),
            *("--precision", precision, *self.options),
        )


@dataclass(frozen=True)
class Found:
    """One arm's results in one turn."""

    loads: dict[int, Load]  # by clients
    mebibytes: float  # after the load


def measure(arm: Arm, precision: str, query: str, seconds: int) -> Found:
    """Start the service, load it, and stop it."""
    command = arm.command(precision)
    with running(*command, cwd=arm.checkout) as server:
        loads = {
            clients: load(f"{server.address}/predict?version=1{query}", clients, seconds)
            for clients in CLIENTS
        }
        return Found(loads, server.mebibytes())


def row(title: str, found: list[Found], baseline: list[Found]) -> str:
    """Return a row of medians, and of the median ratios to the baseline within a turn."""

    def rate(turn: Found, clients: int) -> float:
        return turn.loads[clients].rate

    many = max(CLIENTS)
    pairs = list(zip(found, baseline, strict=True))
    cells = [
        f"{median(rate(f, many) for f in found):,.0f}",
        f"{median(rate(f, many) / rate(b, many) for f, b in pairs):.2f}",
        f"{median(f.loads[1].p50 for f in found):.2f}",
        f"{median(f.loads[1].p50 / b.loads[1].p50 for f, b in pairs):.2f}",
        f"{median(f.mebibytes for f in found):.0f}",
        f"{sum(turn.failed for f in found for turn in f.loads.values())}",
    ]
    return f"| {title} | {' | '.join(cells)} |"


@click.command(context_settings={"show_default": True})
@click.argument("baseline", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--seconds", default=5, help="Length of each measurement.")
@click.option("--rounds", default=3, help="Turns that each service takes.")
def main(baseline: Path, seconds: int, rounds: int) -> None:
    """Print requests/s at 32 clients, p50 of one client and memory, and ratios to the baseline."""
    arms = [
        Arm("baseline", baseline.resolve()),
        Arm("1 worker", ROOT, ("--workers", "1")),
        Arm("2 workers", ROOT, ("--workers", "2")),
    ]
    for title, precision, query in (
        ("`first`, float32", "float32", "&model=first"),
        ("all three, float32", "float32", ""),
        ("all three, int8", "int8", ""),
    ):
        turns: dict[Arm, list[Found]] = {arm: [] for arm in arms}
        for _ in range(rounds):  # interleaved, since a shared machine's speed drifts
            for arm in arms:
                turns[arm].append(measure(arm, precision, query, seconds))
        print(f"\n### {title}\n")
        print(
            f"| service | requests/s, {max(CLIENTS)} clients | ratio | p50 ms, 1 client | ratio ",
            end="",
        )
        print("| MiB after | failed |\n|---|---:|---:|---:|---:|---:|---:|")
        for arm in arms:
            print(row(arm.title, turns[arm], turns[arms[0]]), flush=True)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.revisions")
