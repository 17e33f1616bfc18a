"""Process metrics, for a master and all its descendants together."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from prometheus_client import Metric, ProcessCollector
from prometheus_client.registry import Collector


class Processes(Collector):
    """Process metrics, summed over the master, its workers and their decoders.

    CPU time includes a decoder's only after its worker has reaped it: nobody in the tree reaps the
    decoders of a worker that ends, so counting live ones would let the counter fall.
    """

    def collect(self) -> Iterator[Metric]:
        """Return each metric, read from /proc."""
        master = str(os.getppid())
        families: dict[str, Metric] = {}
        for pid in _with_descendants(master):
            for family in ProcessCollector(pid=partial(int, pid), registry=None).collect():
                known = families.setdefault(family.name, family)
                if known is family:
                    continue
                [one], [other] = known.samples, family.samples
                join = min if family.name == "process_start_time_seconds" else sum
                known.samples = [one._replace(value=join((one.value, other.value)))]
        if seconds := families.get("process_cpu_seconds"):
            [live] = seconds.samples
            seconds.samples = [live._replace(value=_processor_seconds(master))]
        return iter(families.values())


def _processor_seconds(master: str) -> float:
    """Return the CPU seconds of a master, its workers, and all children that they have reaped."""
    pids = [*_children_of(master), master]
    before = None
    while True:
        # Repeat until two sums of ended children agree: otherwise a worker ended in between, and
        # would count twice or not at all. The master comes last, so live times lie between them.
        live, ended = map(sum, zip(*map(_ticks, pids), strict=True))
        if ended == before:
            return (live + ended) / os.sysconf("SC_CLK_TCK")
        before = ended


def _with_descendants(pid: str) -> Iterator[str]:
    yield pid
    for child in _children_of(pid):
        yield from _with_descendants(child)


def _children_of(pid: str) -> list[str]:
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # only Linux has it, or the process has ended just now
        return []


def _ticks(pid: str) -> tuple[int, int]:
    """Return the CPU ticks of a process, and of the children that it has reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended just now
        return 0, 0
    user, system, ended_user, ended_system = map(int, fields[11:15])
    return user + system, ended_user + ended_system
