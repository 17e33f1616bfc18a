"""The article's plots: learning curves, the models compared, the first training images."""

from pathlib import Path

import numpy as np
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
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    bars = {
        "training": [r.train_accuracy for r in records],
        "validation": [r.validation_accuracy for r in records],
        "test": [r.test_accuracy for r in records],
        "test, the article's": [r.article.test_accuracy for r in records],
    }
    width = 0.8 / len(bars)
    places = np.arange(len(records))
    for i, (label, accuracies) in enumerate(bars.items()):
        drawn = axes.bar(
            places + (i - (len(bars) - 1) / 2) * width,
            [100 * accuracy for accuracy in accuracies],
            width,
            label=label,
        )
        axes.bar_label(drawn, fmt="%.1f", fontsize=7)
    axes.set_xticks(
        places, [f"{r.title}\n{r.epochs_completed} of {r.epochs} epochs" for r in records]
    )
    axes.set(ylabel="Accuracy, %", ylim=(0, 100))
    axes.legend(ncols=len(bars), loc="upper center", bbox_to_anchor=(0.5, 1.12), frameon=False)
    figure.savefig(path)


def first_images(split: Split, path: Path) -> None:
    """Show the first ten images of a split with their classes."""
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    for place, (image, label) in enumerate(zip(split.images[:10], split.labels[:10], strict=True)):
        axes = figure.add_subplot(2, 5, place + 1)
        axes.imshow(image)
        axes.set_title(CLASSES[label])
        axes.axis("off")
    figure.savefig(path)
