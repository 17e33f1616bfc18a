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
    test, training, balanced = (
        record.test_accuracy,
        record.train_accuracy,
        record.balanced_accuracy,
    )
    if test is None or training is None or balanced is None:
        return []
    sizes = [sum(row) for row in record.confusion_matrix]
    low, high = interval(test, sum(sizes))
    found = [
        f"Test accuracy {test:.1%} on {sum(sizes):,} images (95% interval {low:.1%} to "
        f"{high:.1%}), training accuracy {training:.1%}: a gap of "
        f"{100 * (training - test):.1f} points."
    ]
    most = max(range(len(sizes)), key=sizes.__getitem__)
    share = sizes[most] / sum(sizes)
    always = f"Always predicting {record.classes[most]!r} would reach {share:.1%}"
    if low <= share:
        found.append(f"{always}: the model is not better than that.")
    elif share > _UNBALANCED / len(sizes):
        found.append(
            f"{always}. The balanced accuracy, the mean over the classes, is {balanced:.1%}."
        )
    found.append(
        "The gap is larger than the interval's margin: the model overfits."
        if _overfits(record)
        else "The gap is within the interval's margin: no sign of overfitting."
    )
    return found


def interval(share: float, images: int) -> tuple[float, float]:
    """Return the 95 % interval of an accuracy, a fraction of so many images (Wilson, 1927)."""
    scale = 1 + _Z**2 / images
    center = (share + _Z**2 / (2 * images)) / scale
    half = _Z / scale * math.sqrt(share * (1 - share) / images + (_Z / (2 * images)) ** 2)
    return center - half, center + half


def _overfits(record: Record) -> bool:
    """Return whether the gap is larger than half of the test accuracy's interval."""
    test, training = record.test_accuracy, record.train_accuracy
    if test is None or training is None:
        return False
    low, high = interval(test, sum(map(sum, record.confusion_matrix)))
    return training - test > (high - low) / 2


def _advice(record: Record) -> str:
    if not _overfits(record):
        return ""
    by_accuracy = sorted(record.class_accuracy.items(), key=lambda item: item[1])
    worst = [
        f"{name!r} ({accuracy:.0%})"
        for name, accuracy in by_accuracy[:_WORST]
        if accuracy < (record.test_accuracy or 0)
    ]
    recipe = "--recipe improved, or " if record.recipe != "improved" else ""
    return f"Try {recipe}more images of the weakest classes: {', '.join(worst)}."
