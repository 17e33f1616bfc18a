"""The sum over workers is what one process would have counted."""

from pathlib import Path

import pytest
from prometheus_client import generate_latest, values
from prometheus_client.parser import text_string_to_metric_families

from serving.inference.registry import Classifiers, load_classifiers
from serving.observability import shared_metrics
from serving.observability.metrics import Metrics
from serving.observability.shared_metrics import SharedMetrics
from serving.settings import Settings

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module")
def classifiers(only_first: Path) -> Classifiers:
    return load_classifiers(Settings(provider="cpu", models_dir=only_first))


@pytest.fixture(autouse=True)
def value_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give prometheus_client its own class back at the end."""
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)


def count(classifiers: Classifiers, seconds: float, shared: SharedMetrics | None) -> Metrics:
    """Count a request as a new worker does."""
    metrics = Metrics(classifiers, shared)
    again(metrics, classifiers, seconds)
    return metrics


def again(metrics: Metrics, classifiers: Classifiers, seconds: float) -> None:
    first, *_ = classifiers
    metrics.in_flight.inc()
    metrics.count_waiting(3)
    metrics.requests("GET", 'a "\u2028\n', 200).inc()
    metrics.seconds("/a").observe(seconds)
    metrics.count_run(first, 2, seconds)


def samples(metrics: Metrics) -> Samples:
    text = generate_latest(metrics._summed()).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.startswith("process_") and not sample.name.endswith("_created")
    }


def test_workers_count_together(classifiers: Classifiers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1.8e9)  # of the last run
    alone = count(classifiers, 0.002, None)
    for seconds in (0.3, 30):
        again(alone, classifiers, seconds)
    expected = samples(alone)
    shared = SharedMetrics(workers=2)
    ended = shared.reserve([])
    count(classifiers, 0.002, shared)
    ended.end()
    replacing = shared.reserve([])
    assert replacing is ended
    count(classifiers, 0.3, shared)
    assert shared.reserve([replacing]) is not replacing
    summed = samples(count(classifiers, 30, shared))
    # These are the living workers'.
    expected["serving_http_requests_in_flight", frozenset()] = 2
    expected["serving_queue_images", frozenset()] = 6
    assert summed == expected


def test_what_finds_no_room_is_not_counted(
    classifiers: Classifiers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shared_metrics, "COUNTS", 20)
    shared = SharedMetrics(workers=1)
    first = shared.reserve([])
    before = samples(count(classifiers, 1, shared))
    assert "too many series" in caplog.text
    assert before["serving_http_requests_in_flight", frozenset()] == 1
    taken = [first]
    while shared.reserve(taken) in shared._slots:
        taken.append(shared._mine)
    assert samples(count(classifiers, 1, shared)) == before
