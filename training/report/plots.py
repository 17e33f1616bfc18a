"""Every plot: learning curves, reliability, the models compared, the study, the first images.

Each function draws plain data, and stores a fingerprint of them in the file's metadata.
"""

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from pydantic_core import to_json

from models.measurements import Epoch, ReliabilityBin
from training.data import Dataset
from training.files import replaced

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_KEY = "Data"  # in the metadata


def write(path: Path, draw: Callable[..., "Figure"], *shown: object) -> None:
    """Draw the data, with their fingerprint in the file's metadata."""
    with replaced(path) as unfinished:
        draw(*shown).savefig(unfinished, metadata={_KEY: _fingerprint(draw, shown)})


def is_current(path: Path, draw: Callable[..., "Figure"], *shown: object) -> bool:
    """Return whether a file shows these data. Its bytes cannot tell: they differ by system."""
    try:
        with Image.open(path) as image:
            return image.info.get(_KEY) == _fingerprint(draw, shown)
    except OSError:  # there is none, or it is damaged
        return False


def curves(title: str, history: list[Epoch], *extended_after: int) -> "Figure":
    """Plot loss and accuracy by epoch, training against validation.

    A dotted line marks each epoch after which the version was extended.
    """
    figure = _figure(10, 4)
    figure.suptitle(title)
    epochs = range(1, len(history) + 1)
    # A single epoch draws no line; a marker shows it.
    marker = "o" if len(history) == 1 else ""
    for axes, label, training, validation in zip(
        figure.subplots(1, 2),
        ("Loss", "Accuracy"),
        ([e.loss for e in history], [e.accuracy for e in history]),
        ([e.val_loss for e in history], [e.val_accuracy for e in history]),
        strict=True,
    ):
        axes.plot(epochs, training, label="training (mean over the epoch)", marker=marker)
        axes.plot(epochs, validation, label="validation (after the epoch)", marker=marker)
        for epoch in extended_after:
            axes.axvline(epoch + 0.5, color="gray", linestyle=":")
        axes.set(xlabel="Epoch", ylabel=label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def reliability(title: str, error: float, bins: list[ReliabilityBin]) -> "Figure":
    """Plot accuracy by top-1 confidence; a calibrated model lies on the diagonal.

    `error` is the expected calibration error, a fraction.
    """
    figure = _figure(5, 5)
    figure.suptitle(f"{title}: calibration error {100 * error:.1f} %")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    full = [b for b in bins if b.count]
    width = 1 / len(bins)
    centers = [(i + 0.5) * width for i in range(len(bins))]
    above.plot([0, 1], [0, 1], color="gray", linestyle="--", label="perfect calibration")
    above.bar(centers, [b.accuracy or 0 for b in bins], width * 0.9, alpha=0.4, label="accuracy")
    above.plot(
        [b.confidence for b in full], [b.accuracy for b in full], "o", label="mean confidence"
    )
    above.set(ylabel="Accuracy", xlim=(0, 1), ylim=(0, 1))
    above.legend(loc="upper left")
    below.bar(centers, [b.count for b in bins], width * 0.9, color="gray")
    below.set(xlabel="Confidence", ylabel="Test images")
    return figure


def comparison(labels: list[str], accuracies: dict[str, list[float]]) -> "Figure":
    """Plot a group of bars per label: one accuracy for each set."""
    figure = _figure(2 + 2 * len(labels), 4)
    _bars(figure.subplots(), labels, {name: [[a] for a in of] for name, of in accuracies.items()})
    return figure


def study(accuracies: dict[str, dict[str, dict[str, list[float]]]]) -> "Figure":
    """Plot each technique's accuracies as means over the seeds.

    `accuracies` holds a list with one element per seed, by setting, set and technique.
    """
    figure = _figure(14, 4 * len(accuracies))
    rows = figure.subplots(len(accuracies), squeeze=False)[:, 0]
    for axes, (title, sets) in zip(rows, accuracies.items(), strict=True):
        axes.set_title(title, loc="left")
        _bars(
            axes,
            [label.replace("-", "\n") for label in next(iter(sets.values()))],
            {name: list(of_set.values()) for name, of_set in sets.items()},
        )
    return figure


def first_images(dataset: Dataset, path: Path) -> None:
    """Show the first ten training images with their classes."""
    figure = _figure(10, 4.4)
    first = dataset.train.take(slice(10))
    for place, (image, label) in enumerate(zip(first.images, first.labels, strict=True)):
        axes = figure.add_subplot(2, 5, place + 1)
        axes.imshow(image)
        axes.set_title(dataset.classes[label])
        axes.axis("off")
    with replaced(path) as unfinished, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the font lacks some class names' characters
        figure.savefig(unfinished)


def _figure(width: float, height: float) -> "Figure":
    # Imported here because `report --check` does not need it.
    from matplotlib.figure import Figure  # noqa: PLC0415

    return Figure(figsize=(width, height), layout="constrained")


def _bars(axes: "Axes", labels: list[str], groups: dict[str, list[list[float]]]) -> None:
    width = 0.8 / len(groups)
    places = np.arange(len(labels))
    for i, (name, values) in enumerate(groups.items()):
        drawn = axes.bar(
            places + (i - (len(groups) - 1) / 2) * width,
            [100 * mean(of_label) for of_label in values],
            width,
            yerr=[100 * stdev(of_label) if len(of_label) > 1 else 0 for of_label in values],
            label=name,
        )
        axes.bar_label(drawn, fmt="%.1f", fontsize=7)
    axes.set_xticks(places, labels)
    axes.set(ylabel="Accuracy, %", ylim=(0, 105))
    axes.legend(ncols=len(groups), loc="upper center", bbox_to_anchor=(0.5, 1.12), frameon=False)


def _fingerprint(draw: Callable[..., "Figure"], shown: tuple[object, ...]) -> str:
    return hashlib.sha256(draw.__name__.encode() + to_json(shown)).hexdigest()
