"""The usual metrics of a process, for a master and its workers together."""

from collections.abc import Iterator
from functools import partial
from os import getppid, sysconf
from pathlib import Path

from prometheus_client import Metric, ProcessCollector
from prometheus_client.registry import Collector


class Processes(Collector):
    """The usual metrics of a process, summed over the master and its workers."""

    def collect(self) -> Iterator[Metric]:
        """Return each metric, read from /proc."""
        master = getppid()
        try:
            children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        except OSError:  # only Linux has it
            children = []
        families: dict[str, Metric] = {}
        pids = [str(master), *children]
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


def _seconds_of_ended(pid: str) -> float:
    """Return the processor time of a process' children that have ended, theirs included."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended just now
        return 0
    return (int(fields[13]) + int(fields[14])) / sysconf("SC_CLK_TCK")
