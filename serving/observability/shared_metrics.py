"""The metrics of all workers, in shared memory.

The memory has no file behind it, so a full, read-only or missing disk does not stop the counting.
The master reserves a slot for each worker that it forks. A worker continues the counts of the
previous worker in its slot.
"""

import json
import logging
from array import array
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from mmap import mmap
from threading import Lock

from prometheus_client import Metric
from prometheus_client.registry import Collector

COUNTS = 8192  # maximum series per slot that outlive a worker; a model version has about 80
GAUGES = 512  # maximum series per slot that end with a worker
NAME = 256  # bytes per series for its labels and help text, which take 230 on average

logger = logging.getLogger(__name__)
_lock = Lock()  # between the threads of a worker


class SharedMetrics(Collector):
    """The metrics of all workers together, including those that have ended."""

    def __init__(self, workers: int) -> None:
        """Reserve memory for `workers`, and for those replaced by a few successive reloads."""
        self._slots = [Slot() for _ in range(4 * workers + 8)]

    def reserve(self, taken: Collection["Slot"]) -> "Slot":
        """Return a slot for the next forked worker.

        If all are taken, return a new one, which no other worker reads.
        """
        self._mine = next((slot for slot in self._slots if slot not in taken), None) or Slot()
        self._mine.counts.open()
        self._mine.end()
        return self._mine

    def value(
        self,
        kind: str,
        metric: str,
        name: str,
        label_names: Sequence[str],
        label_values: Sequence[str],
        help_text: str,
        multiprocess_mode: str = "",
    ) -> "Value":
        """Return this worker's value of a series; called as prometheus_client's ValueClass."""
        labels = dict(zip(label_names, label_values, strict=True))
        join = "max" if multiprocess_mode.endswith("max") else "sum"
        live = multiprocess_mode.startswith("live")
        table = self._mine.gauges if live else self._mine.counts
        return Value(*table.add(json.dumps([join, kind, metric, help_text, name, labels])))

    def collect(self) -> Iterator[Metric]:
        """Return each metric, with the sum or the maximum over the workers."""
        totals: dict[str, float] = {}
        for slot in self._slots:
            for series, value in (*slot.counts.read(), *slot.gauges.read()):
                before = totals.get(series, 0.0)
                is_max = series.startswith('["max"')
                totals[series] = max(before, value) if is_max else before + value
        families: dict[str, Metric] = {}
        below: defaultdict[str, float] = defaultdict(float)  # a histogram's buckets so far
        for series, total in totals.items():
            _, kind, metric, help_text, name, labels = json.loads(series)
            family = families.setdefault(metric, Metric(metric, help_text, kind))
            if "le" not in labels:
                family.add_sample(name, labels, total)
                continue
            others = {label: text for label, text in labels.items() if label != "le"}
            histogram = f"{metric}{others}"
            below[histogram] += total
            family.add_sample(name, labels, below[histogram])
            if labels["le"] == "+Inf":
                family.add_sample(f"{metric}_count", others, below[histogram])
        return iter(families.values())


class Slot:
    """The metrics of one worker at a time."""

    def __init__(self) -> None:
        self.counts = _Table(COUNTS)
        self.gauges = _Table(GAUGES)

    def end(self) -> None:
        """Clear what holds only while the worker lives, such as its requests in progress."""
        self.gauges.clear()


class _Table:
    """Series and their values: one process writes them, all read them."""

    def __init__(self, most: int) -> None:
        self._most = most
        memory = memoryview(mmap(-1, 8 + most * (8 + NAME)))
        self._end = memory[:8].cast("q")  # bytes of names, set once a series is complete
        self._values = memory[8 : 8 + 8 * most].cast("d")
        self._names = memory[8 + 8 * most :]  # each is a line

    def open(self) -> None:
        """Find the series of an earlier worker."""
        self._places = {series: place for place, (series, _) in enumerate(self.read())}

    def clear(self) -> None:
        self._end[0] = 0
        self._places = {}

    def add(self, series: str) -> tuple["memoryview[float] | array[float]", int]:
        """Return the array and the index of a series' value."""
        with _lock:
            place = self._places.get(series)
            if place is not None:
                return self._values, place
            line = series.encode() + b"\n"
            place, end = len(self._places), self._end[0]
            if place == self._most or end + len(line) > len(self._names):
                logger.warning("too many series: %s is not counted", series)
                return array("d", [0.0]), 0
            self._values[place] = 0.0
            self._names[end : end + len(line)] = line
            self._end[0] = end + len(line)
            self._places[series] = place
            return self._values, place

    def read(self) -> Iterator[tuple[str, float]]:
        names = bytes(self._names[: self._end[0]]).decode().splitlines()
        return zip(names, self._values, strict=False)


class Value:
    """The value of a series, with the methods that prometheus_client calls."""

    def __init__(self, values: "memoryview[float] | array[float]", place: int) -> None:
        self._values, self._place = values, place

    def inc(self, amount: float) -> None:
        """Add to the value."""
        with _lock:
            self._values[self._place] += amount

    def set(self, value: float, timestamp: float | None = None) -> None:
        """Set the value."""
        self._values[self._place] = value

    def get(self) -> float:
        """Return the value."""
        return self._values[self._place]

    def set_exemplar(self, exemplar: object) -> None:
        """Do nothing: exemplars are not supported."""

    def get_exemplar(self) -> None:
        """Return None: exemplars are not supported."""
