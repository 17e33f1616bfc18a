"""The article's plots: learning curves, the models compared, the first training images."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.record import CLASSES, Epoch, Record
from training.data import Split


def curves(title: str, history: list[Epoch], path: Path) -> None:
    """Plot loss and accuracy by epoch, training against validation."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    figure.suptitle(title)
    epochs = range(1, len(history) + 1)
    # A single epoch has no line to draw; a marker shows it.
    marker = "o" if len(history) == 1 else ""
    for axes, label, training, validation in zip(
        figure.subplots(1, 2),
        ("Loss", "Accuracy"),
        ([e.loss for e in history], [e.accuracy for e in history]),
        ([e.val_loss for e in history], [e.val_accuracy for e in history]),
        strict=True,
    ):
        axes.plot(epochs, training, label="training", marker=marker)
        axes.plot(epochs, validation, label="validation", marker=marker)
        axes.set(xlabel="Epoch", ylabel=label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path)


def comparison(records: list[Record], path: Path) -> None:
    """Plot training, validation and test accuracy of each model, the article's test beside them."""
    figure = Figure(figsize=(2 + 2 * len(records), 4), layout="constrained")
    _bars(
        figure.subplots(),
        [
            f"{r.name}, {r.recipe} recipe\n{r.epochs_completed} of {r.epochs} epochs"
            for r in records
        ],
        {
            "training": [[r.evaluated_train.accuracy] for r in records],
            "validation": [[r.evaluated_validation.accuracy] for r in records],
            "test": [[r.test_accuracy] for r in records],
            "test, the article's": [[r.article.test_accuracy] for r in records],
        },
    )
    figure.savefig(path)


def study(accuracies: dict[str, dict[str, dict[str, list[float]]]], path: Path) -> None:
    """Plot means over the seeds of each countermeasure's accuracies.

    `accuracies` holds a list, an element a seed, by setting, set and countermeasure.
    """
    figure = Figure(figsize=(14, 4 * len(accuracies)), layout="constrained")
    rows = figure.subplots(len(accuracies), squeeze=False)[:, 0]
    for axes, (title, sets) in zip(rows, accuracies.items(), strict=True):
        axes.set_title(title, loc="left")
        _bars(
            axes,
            [label.replace("-", "\n") for label in next(iter(sets.values()))],
            {name: list(of_set.values()) for name, of_set in sets.items()},
        )
    figure.savefig(path)


def _bars(axes: Axes, labels: list[str], groups: dict[str, list[list[float]]]) -> None:
    width = 0.8 / len(groups)
    places = np.arange(len(labels))
    for i, (name, values) in enumerate(groups.items()):
        drawn = axes.bar(
            places + (i - (len(groups) - 1) / 2) * width,
            [100 * float(np.mean(of_label)) for of_label in values],
            width,
            yerr=[100 * float(np.std(of_label)) for of_label in values]
            if len(values[0]) > 1
            else None,
            label=name,
        )
        axes.bar_label(drawn, fmt="%.1f", fontsize=7)
    axes.set_xticks(places, labels)
    axes.set(ylabel="Accuracy, %", ylim=(0, 105))
    axes.legend(ncols=len(groups), loc="upper center", bbox_to_anchor=(0.5, 1.12), frameon=False)


def first_images(split: Split, path: Path) -> None:
    """Show the first ten images of a split with their classes."""
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    for place, (image, label) in enumerate(zip(split.images[:10], split.labels[:10], strict=True)):
        axes = figure.add_subplot(2, 5, place + 1)
        axes.imshow(image)
        axes.set_title(CLASSES[label])
        axes.axis("off")
    figure.savefig(path)
