"""Compare int8 with float32 on the CPU, each bundled model alone, in turns in one run.

`uv run --group dev python -m benchmarks.precision`
"""

import time
from statistics import median

import click
import numpy as np

from benchmarks.running import ROOT
from models.bundle import INT8_MODEL_FILE, MODEL_FILE
from serving.inference.classifier import Classifier
from serving.inference.registry import load_classifiers
from serving.settings import Settings

TURNS = 20


def rates(classifiers: list[Classifier], size: int, seconds: float) -> list[float]:
    """Return each model's images per second in batches of `size`, in `TURNS` turns."""
    images = np.random.default_rng(0).integers(0, 256, (size, 32, 32, 3), dtype=np.uint8)
    times: list[list[float]] = [[] for _ in classifiers]
    for _ in range(TURNS):
        for classifier, of_one in zip(classifiers, times, strict=True):
            end = time.perf_counter() + seconds / TURNS
            while (started := time.perf_counter()) < end:
                classifier.classify(images)
                of_one.append(time.perf_counter() - started)
    return [size / median(of_one) for of_one in times]


@click.command(context_settings={"show_default": True})
@click.option("--seconds", default=2.0, help="Length of each measurement.")
@click.option("--size", default=8, help="Images in a batch.")
def main(seconds: float, size: int) -> None:
    """Print the speed, accuracy and file size of int8 beside float32."""
    float32 = load_classifiers(Settings(provider="cpu", precision="float32"))
    int8 = load_classifiers(Settings(provider="cpu", precision="int8"))
    print(
        "| model | version | float32 images/s | int8 | ratio | float32 test | int8 | MiB | int8 |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for classifier in float32:
        name, version = classifier.record.name, str(classifier.record.version)
        both = [classifier, int8.find(name, version)]
        plain, quantized = rates(both, size, seconds)
        folder = ROOT / "models" / name / version
        sizes = ((folder / file).stat().st_size / 2**20 for file in (MODEL_FILE, INT8_MODEL_FILE))
        cells = [
            f"`{name}`",
            version,
            *(f"{rate:,.0f}" for rate in (plain, quantized)),
            f"{quantized / plain:.1f}",
            *(f"{one.record.test_accuracy:.2%}".replace("%", " %") for one in both),
            *(f"{mebibytes:.1f}" for mebibytes in sizes),
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.precision")
