"""The usual metrics of a process, for a master and its workers together."""

from collections.abc import Iterator
from functools import partial
from os import getppid
from pathlib import Path

from prometheus_client import Metric, ProcessCollector
from prometheus_client.registry import Collector


class Processes(Collector):
    """The usual metrics of a process, summed over the master and its workers."""

    def collect(self) -> Iterator[Metric]:
        """Return each metric, read from /proc."""
        master = getppid()
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        families: dict[str, Metric] = {}
        for pid in (master, *children):
            for family in ProcessCollector(pid=partial(int, pid), registry=None).collect():
                known = families.setdefault(family.name, family)
                if known is family:
                    continue
                [one], [other] = known.samples, family.samples
                join = min if family.name == "process_start_time_seconds" else sum
                known.samples = [one._replace(value=join((one.value, other.value)))]
        return iter(families.values())
