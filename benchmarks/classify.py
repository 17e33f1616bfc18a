"""Compare `python -m serving classify` with its limit, bare ONNX Runtime on decoded images.

`uv run --group dev python -m benchmarks.classify`; needs CIFAR-10, as training does.
"""

import io
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import get_args

import click
import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.service import ROOT, shared_once_mebibytes
from serving.inference.classifier import Classifier
from serving.inference.registry import load_classifiers
from serving.settings import Precision, Settings
from training.data import cifar10 as data

TARGET = 0.8  # of the limit
MORE = 10  # times as many files; memory should stay the same
SAMPLE_PAUSE = 0.2  # seconds between two samples of the memory


@dataclass(frozen=True)
class Run:
    """What the command used."""

    seconds: float  # including the start of Python and loading the models
    mebibytes: float  # peak, over all its processes, counting shared memory once


def write_pngs(images: npt.NDArray[np.uint8], folder: Path) -> Path:
    """Write each image as a PNG into a new folder."""
    folder.mkdir()
    for i, pixels in enumerate(images):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        (folder / f"{i:05}.png").write_bytes(buffer.getvalue())
    return folder


def run_command(models: Sequence[Classifier], precision: Precision, paths: Sequence[Path]) -> Run:
    """Classify the files in some folders with the command."""
    names = (option for model in models for option in ("--model", model.record.name))
    command = (
        *(sys.executable, "-m", "serving", "classify", "--provider", "cpu"),
        *("--precision", precision, *names, *map(str, paths)),
    )
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        peak = 0.0
        ended = threading.Event()

        def watch() -> None:
            nonlocal peak
            while not ended.wait(SAMPLE_PAUSE):
                with suppress(OSError, IndexError):  # a process has just ended
                    peak = max(peak, shared_once_mebibytes(_descendants(process.pid)))

        watcher = threading.Thread(target=watch)
        watcher.start()
        process.wait()
        seconds = time.perf_counter() - started
        ended.set()
        watcher.join()
    if process.returncode:
        raise click.ClickException(f"{' '.join(command)} ended with status {process.returncode}")
    return Run(seconds, peak)


def _descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in _descendants(int(child)))]


def run_bare(models: Sequence[Classifier], images: npt.NDArray[np.uint8]) -> float:
    """Return the seconds that all models take to run over the images, in full batches."""
    size = models[0].max_batch
    started = time.perf_counter()
    for i in range(0, len(images), size):
        for model in models:
            model.classify(images[i : i + size])
    return time.perf_counter() - started


@click.command(context_settings={"show_default": True})
@click.option("--files", default=10_000, type=click.IntRange(MORE, 10_000), help="PNGs.")
@click.option("--rounds", default=5, help="Turns that each takes; the median is shown.")
@click.option(
    "--precision", type=click.Choice(get_args(Precision)), default="int8", help="The models'."
)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of CIFAR-10's batches.")
def main(files: int, rounds: int, precision: Precision, data_dir: Path | None) -> None:
    """Measure the command's images per second beside the limit, and its memory for two sizes."""
    images = data.load_test(data.find(data_dir)).images[:files]
    settings = Settings(provider="cpu", precision=precision, workers=1)
    models = load_classifiers(settings).choose()
    with tempfile.TemporaryDirectory() as folder:
        few = write_pngs(images[: files // MORE], Path(folder, "few"))
        rest = write_pngs(images[files // MORE :], Path(folder, "rest"))
        of_few = run_command(models, precision, [few])
        runs, bare = [], []
        for _ in range(rounds):  # in turns, since a shared machine's speed drifts
            runs.append(run_command(models, precision, [few, rest]))
            bare.append(run_bare(models, images))
    ratios = [limit / run.seconds for run, limit in zip(runs, bare, strict=True)]
    print(
        f"{files:,} PNGs, {len(models)} models, {precision}, images/s: "
        f"{files / median(run.seconds for run in runs):,.0f} of bare ONNX Runtime's "
        f"{files / median(bare):,.0f}, {median(ratios):.2f} of it "
        f"({min(ratios):.2f} to {max(ratios):.2f}; the target is {TARGET})."
    )
    print(
        f"Memory at most: {of_few.mebibytes:.0f} MiB for {files // MORE:,} files, "
        f"{max(run.mebibytes for run in runs):.0f} MiB for {files:,}."
    )


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.classify")
