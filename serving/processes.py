"""The usual metrics of a process, for a master and all processes below it together."""

from collections.abc import Iterator
from functools import partial
from os import getppid, sysconf
from pathlib import Path

from prometheus_client import Metric, ProcessCollector
from prometheus_client.registry import Collector


class Processes(Collector):
    """The usual metrics of a process, summed over the master, its workers and their decoders."""

    def collect(self) -> Iterator[Metric]:
        """Return each metric, read from /proc."""
        families: dict[str, Metric] = {}
        pids = list(_with_descendants(str(getppid())))
        for pid in pids:
            for family in ProcessCollector(pid=partial(int, pid), registry=None).collect():
                known = families.setdefault(family.name, family)
                if known is family:
                    continue
                [one], [other] = known.samples, family.samples
                join = min if family.name == "process_start_time_seconds" else sum
                known.samples = [one._replace(value=join((one.value, other.value)))]
        if seconds := families.get("process_cpu_seconds"):
            # A counter must not fall when a worker ends.
            [live] = seconds.samples
            ended = sum(map(_seconds_of_ended, pids))
            seconds.samples = [live._replace(value=live.value + ended)]
        return iter(families.values())


def _with_descendants(pid: str) -> Iterator[str]:
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # only Linux has it, or the process has ended just now
        return
    for child in children:
        yield from _with_descendants(child)


def _seconds_of_ended(pid: str) -> float:
    """Return the processor time of a process' children that have ended, theirs included."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended just now
        return 0
    return (int(fields[13]) + int(fields[14])) / sysconf("SC_CLK_TCK")
