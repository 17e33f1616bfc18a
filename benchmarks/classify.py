"""Compare `python -m serving classify` with a plain script and with bare ONNX Runtime.

`uv run --group dev python -m benchmarks.classify`; needs CIFAR-10, as training does.
"""

import io
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click
import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.running import MARK, ROOT, marked, precision_option, shared_once_mebibytes
from serving.inference.classifier import Classifier, usable_threads
from serving.inference.registry import load_classifiers
from serving.settings import Precision, Settings
from training.data import cifar10 as data

VERSION = "1"  # of the models, as in benchmarks.rivals
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


def run(*command: str, **variables: str) -> Run:
    """Run a Python module to its end."""
    mark = secrets.token_hex()
    environment = {**os.environ, **variables, MARK: mark}
    command = (sys.executable, "-m", *command)
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as process:
        peak = 0.0
        ended = threading.Event()

        def watch() -> None:
            nonlocal peak
            while not ended.wait(SAMPLE_PAUSE):
                peak = max(peak, shared_once_mebibytes(marked(mark)))

        watcher = threading.Thread(target=watch)
        watcher.start()
        process.wait()
        seconds = time.perf_counter() - started
        ended.set()
        watcher.join()
    if process.returncode:
        raise click.ClickException(f"{' '.join(command)} ended with status {process.returncode}")
    return Run(seconds, peak)


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
@precision_option
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of CIFAR-10's batches.")
def main(files: int, rounds: int, precision: Precision, data_dir: Path | None) -> None:
    """Measure images per second of the command, the script and the limit, and their memory."""
    images = data.load_test(data.find(data_dir)).images[:files]
    settings = Settings(provider="cpu", precision=precision, workers=1)
    models = load_classifiers(settings).choose(version=VERSION)
    ours = ("serving", "classify", "--provider", "cpu", "--version", VERSION)
    command = (*ours, "--precision", precision)
    script = {"SERVING_PRECISION": precision, "WORKERS": str(usable_threads())}
    with tempfile.TemporaryDirectory() as folder:
        few = str(write_pngs(images[: files // MORE], Path(folder, "few")))
        rest = str(write_pngs(images[files // MORE :], Path(folder, "rest")))
        of_few = run(*command, few)
        runs, plain, bare = [], [], []
        for _ in range(rounds):  # in turns, since a shared machine's speed drifts
            runs.append(run(*command, few, rest))
            plain.append(run("benchmarks.rivals.script", few, rest, **script))
            bare.append(run_bare(models, images))
    print(f"{files:,} PNGs, {len(models)} models, {precision}; images/s, and of bare ONNX Runtime:")
    print(f"bare ONNX Runtime {files / median(bare):,.0f}")
    for title, found in (("classify", runs), ("a script with a thread pool", plain)):
        ratios = [limit / run.seconds for run, limit in zip(found, bare, strict=True)]
        print(
            f"{title} {files / median(run.seconds for run in found):,.0f}, {median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}), "
            f"{max(run.mebibytes for run in found):.0f} MiB at most"
        )
    print(f"classify with {files // MORE:,} files: {of_few.mebibytes:.0f} MiB at most")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.classify")
