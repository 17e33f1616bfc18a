"""The usual metrics of a process, for a master and all processes below it together."""

import os
from collections.abc import Iterable, Iterator
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
        families = _summed(_with_descendants(master))
        if "process_cpu_seconds" in families:
            families["process_cpu_seconds"] = _processor_time([master, *_children_of(master)])
        return iter(families.values())


def _processor_time(pids: list[str]) -> Metric:
    """Return the time of processes and of all for whose end they have waited."""
    ended = _seconds_of_ended(pids)
    while True:
        time = _summed(pids)["process_cpu_seconds"]
        before, ended = ended, _seconds_of_ended(pids)
        if ended == before:  # else one ended meanwhile, and would count twice
            [live] = time.samples
            time.samples = [live._replace(value=live.value + ended)]
            return time


def _summed(pids: Iterable[str]) -> dict[str, Metric]:
    families: dict[str, Metric] = {}
    for pid in pids:
        for family in ProcessCollector(pid=partial(int, pid), registry=None).collect():
            known = families.setdefault(family.name, family)
            if known is family:
                continue
            [one], [other] = known.samples, family.samples
            join = min if family.name == "process_start_time_seconds" else sum
            known.samples = [one._replace(value=join((one.value, other.value)))]
    return families


def _with_descendants(pid: str) -> Iterator[str]:
    yield pid
    for child in _children_of(pid):
        yield from _with_descendants(child)


def _children_of(pid: str) -> list[str]:
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # only Linux has it, or the process has ended just now
        return []


def _seconds_of_ended(pids: Iterable[str]) -> float:
    """Return the processor time of processes' children that have ended, theirs included."""
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended just now
            continue
        ticks += int(fields[13]) + int(fields[14])
    return ticks / os.sysconf("SC_CLK_TCK")
