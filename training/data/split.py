"""Divides labelled images into a part to train on, one for validation and one for testing.

Identical images never stand in two parts: a model would be tested on what it was trained on. The
seed is fixed, so that every command finds the same parts.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from training.data.dataset import DataError, Split, pixel_hashes

Part = Literal["train", "validation", "test"]
# Of identical images in two of them, the one in the first stays.
_PARTS: tuple[Part, ...] = ("test", "validation", "train")

SEED = 0
LEAST = 20  # images of a class, in all parts together

_TOGETHER = f"identical images together, shuffled with seed {SEED}"
_HOW = {
    frozenset(["train"]): "a fifth of each class for testing, then a fifth of the rest of each "
    f"class for validation; {_TOGETHER}",
    frozenset(["train", "test"]): "testing as given; a fifth of each class of the other images "
    f"for validation, {_TOGETHER}",
    frozenset(["train", "validation", "test"]): "as given",
}
_PURPOSE = {"train": "to train on", "validation": "for validation", "test": "for testing"}


def divide(
    given: Mapping[Part, Split], classes: Sequence[str], place: str
) -> tuple[dict[Part, Split], str]:
    """Return the three parts, each in a random order, and how they were made, in words.

    `given` has all images as `train`, or is divided already, perhaps except for validation. Error
    messages call the data `place`.

    Raises:
        DataError: a class has too few images, or no image in a part.
    """
    random = np.random.default_rng(SEED)
    check_counts((label for split in given.values() for label in split.labels), classes, place)
    parts: dict[Part, Split] = {}
    others: set[bytes] = set()
    for part in _PARTS:
        if part in given:
            hashes = pixel_hashes(given[part].images)
            new = [i for i, pixels in enumerate(hashes) if pixels not in others]
            parts[part] = given[part].take(np.array(new, dtype=np.int64))
            others.update(hashes)
    left_out = sum(map(len, given.values())) - sum(map(len, parts.values()))
    for part in _PARTS[:2]:
        if part not in given:
            parts["train"], parts[part] = _hold_out(parts["train"], random)
    for part, split in parts.items():
        counts = np.bincount(split.labels, minlength=len(classes))
        if not counts.all():
            name = classes[int(counts.argmin())]
            raise DataError(
                f"{place}: class {name!r} has no images left {_PURPOSE[part]}, because identical "
                "images stay in one part; add different images"
            )
        parts[part] = split.take(random.permutation(len(split)))
    how = _HOW[frozenset(given)]
    return parts, f"{how}; {left_out} left out that are in another part" if left_out else how


def check_counts(labels: Iterable[int], classes: Sequence[str], place: str) -> None:
    """Refuse classes of too few images.

    Raises:
        DataError: there is one; the message names it.
    """
    if len(classes) < 2:
        raise DataError(f"{place} has only one class, {classes[0]!r}; at least two are needed")
    counts = np.bincount(np.fromiter(labels, np.int64), minlength=len(classes))
    by_name = zip(classes, counts, strict=True)
    few = [f"{name!r} has {count}" for name, count in by_name if count < LEAST]
    if few:
        raise DataError(
            f"{place}: a class needs at least {LEAST} images, but {', '.join(few)}; add images, or "
            "remove the class"
        )


def _hold_out(whole: Split, random: np.random.Generator) -> tuple[Split, Split]:
    """Return four fifths of each class's different images, and the last fifth, at least one."""
    groups: dict[bytes, list[int]] = {}
    for place, pixels in enumerate(pixel_hashes(whole.images)):
        groups.setdefault(pixels, []).append(place)
    by_class: dict[int, list[list[int]]] = {}
    for group in groups.values():
        by_class.setdefault(int(whole.labels[group[0]]), []).append(group)
    kept: list[int] = []
    held: list[int] = []
    for _, of_class in sorted(by_class.items()):
        at = len(of_class) - max(1, len(of_class) // 5)
        for i, place in enumerate(random.permutation(len(of_class))):
            (kept if i < at else held).extend(of_class[place])
    return whole.take(np.array(kept, dtype=np.int64)), whole.take(np.array(held, dtype=np.int64))
