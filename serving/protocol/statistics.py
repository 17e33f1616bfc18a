"""Triton's model statistics, from the Prometheus metrics."""

from collections import defaultdict
from collections.abc import Iterable

from serving.inference.classifier import Classifier
from serving.observability.metrics import Metrics
from serving.protocol.responses import Duration, ModelStatistics, Statistics


def statistics(classifiers: Iterable[Classifier], metrics: Metrics) -> Statistics:
    """Return each model's requests, images and runs since the start, over all workers.

    A request's time in the queue ends with its first run, which it may share with others.
    """
    found: dict[tuple[str | None, ...], float] = defaultdict(float)
    for sample in metrics.samples():
        labels = sample.labels
        place = sample.name, labels.get("model"), labels.get("version"), labels.get("stage")
        found[place] += sample.value

    def of_model(classifier: Classifier) -> ModelStatistics:
        model = classifier.record.name, str(classifier.record.version)

        def time_of(stage: str) -> Duration:
            return {
                "count": int(found["serving_model_duration_seconds_count", *model, stage]),
                "ns": round(1e9 * found["serving_model_duration_seconds_sum", *model, stage]),
            }

        runs = time_of("infer")
        # ONNX Runtime copies a batch in and out within its run; perf_analyzer wants equal counts.
        copies: Duration = {"count": runs["count"], "ns": 0}
        none: Duration = {"count": 0, "ns": 0}  # no cache
        return {
            "name": model[0],
            "version": model[1],
            "last_inference": round(
                1000 * found["serving_model_last_run_timestamp_seconds", *model, None]
            ),
            "inference_count": int(found["serving_model_images_total", *model, None]),
            "execution_count": runs["count"],
            "inference_stats": {
                "success": time_of("success"),
                "fail": time_of("fail"),
                "queue": time_of("queue"),
                "compute_input": copies,
                "compute_infer": runs,
                "compute_output": copies,
                "cache_hit": none,
                "cache_miss": none,
            },
            "batch_stats": [],
        }

    return {"model_stats": [of_model(classifier) for classifier in classifiers]}
