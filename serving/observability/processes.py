"""The usual metrics of a process, for a master and all processes below it together."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from prometheus_client import Metric, ProcessCollector
from prometheus_client.registry import Collector


class Processes(Collector):
    """The usual metrics of a process, summed over the master, its workers and their decoders.

    The processor time leaves out the decoders' until a worker has waited for their end: those of a
    worker that ends are nobody's, and the counter would fall.
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
    """Return the time of a master, of its workers, and of all for whose end they have waited."""
    pids = [*_children_of(master), master]
    before = None
    while True:
        # The master comes last, so that the live times lie between the two sums that must agree:
        # else a worker ended meanwhile, and would count twice or not at all.
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
    """Return the processor time of a process, and of its children for whose end it has waited."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended just now
        return 0, 0
    user, system, ended_user, ended_system = map(int, fields[11:15])
    return user + system, ended_user + ended_system
