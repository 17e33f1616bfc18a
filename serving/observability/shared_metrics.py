"""The folder in which workers share their metrics: a file for each worker and kind of metric.

The files of workers that have ended are added up in one for each kind. Otherwise a service that
replaces its workers now and then would fill the folder, and read all of it for each scrape.
"""

import fcntl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prometheus_client import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead


class SharedMetrics(MultiProcessCollector):
    """The metrics of all workers together, of those that have ended, too."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        super().__init__(None, folder)  # type: ignore[no-untyped-call]

    def collect(self) -> Iterable[Metric]:
        """Return each metric, summed as its kind wants."""
        with _locked(self.folder, fcntl.LOCK_SH):
            metrics: Iterable[Metric] = super().collect()  # type: ignore[no-untyped-call]
            return metrics


def add_ended(pid: int, folder: str) -> None:
    """Move what a worker has counted to the files of all that have ended."""
    values_of: Any = MmapedDict  # which has no types
    with _locked(folder, fcntl.LOCK_EX):
        mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]  # its live gauges
        for path in Path(folder).glob(f"*_{pid}.db"):
            kind = path.stem.removesuffix(f"_{pid}")
            ended = values_of(f"{folder}/{kind}_ended.db")
            for key, value, _, _ in values_of.read_all_values_from_file(path):
                before, _ = ended.read_value(key)
                joined = max(before, value) if kind == "gauge_max" else before + value
                ended.write_value(key, joined, 0.0)
            ended.close()
            path.unlink()


@contextmanager
def _locked(folder: str, how: int) -> Iterator[None]:
    # A worker that read between the two writes would count twice what has ended.
    with Path(folder, "lock").open("w") as file:
        fcntl.flock(file, how)
        yield
