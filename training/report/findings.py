"""What a training came to, in words: how sure the accuracy is, and whether the model overfits."""

import math
from statistics import NormalDist

from models.record import Record

_Z = NormalDist().inv_cdf(0.975)  # of a 95 % interval
_UNBALANCED = 1.5  # times as many images of the most common class as with as many of each
_WORST = 3  # classes that are named


def findings(record: Record) -> str:
    """Return the last lines of a training: what was measured, and what to try next."""
    return "\n".join(filter(None, (*observations(record), _advice(record))))


def observations(record: Record) -> list[str]:
    """Return sentences on the test accuracy, on what it is worth, and on the gap."""
    low, high = interval(record)
    found = [
        f"Right on {record.test_accuracy:.1%} of {_images(record):,} test images (95% interval: "
        f"{low:.1%} to {high:.1%}), and on {record.train_accuracy:.1%} of the training images: a "
        f"gap of {100 * _gap(record):.1f} points."
    ]
    most = max(range(len(record.classes)), key=lambda i: sum(record.confusion_matrix[i]))
    always = f"Always answering {record.classes[most]!r} is right on {record.majority_share:.1%}"
    if low <= record.majority_share:
        found.append(f"{always}: the model is no better than that.")
    elif record.majority_share > _UNBALANCED / len(record.classes):
        found.append(
            f"{always}. The balanced accuracy, the mean over the classes, is "
            f"{record.balanced_accuracy:.1%}."
        )
    found.append(
        "The gap is larger than chance explains: it overfits."
        if _overfits(record)
        else "The gap is within that interval: these test images show no overfitting."
    )
    return found


def interval(record: Record) -> tuple[float, float]:
    """Return the 95 % interval of the test accuracy (Wilson, 1927), as fractions."""
    images, share = _images(record), record.test_accuracy
    scale = 1 + _Z**2 / images
    center = (share + _Z**2 / (2 * images)) / scale
    half = _Z / scale * math.sqrt(share * (1 - share) / images + (_Z / (2 * images)) ** 2)
    return center - half, center + half


def _advice(record: Record) -> str:
    if not _overfits(record):
        return ""
    by_accuracy = sorted(record.class_accuracy.items(), key=lambda item: item[1])
    worst = [
        f"{name!r} ({accuracy:.0%})"
        for name, accuracy in by_accuracy[:_WORST]
        if accuracy < record.test_accuracy
    ]
    recipe = "--recipe improved, or " if record.recipe != "improved" else ""
    return f"Try {recipe}more images of the classes that do worst: {', '.join(worst)}."


def _gap(record: Record) -> float:
    return record.train_accuracy - record.test_accuracy


def _overfits(record: Record) -> bool:
    low, high = interval(record)
    return _gap(record) > (high - low) / 2


def _images(record: Record) -> int:
    return sum(map(sum, record.confusion_matrix))
