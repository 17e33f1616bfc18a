"""One .npz file of images and labels, named as Keras or MedMNIST name them."""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from PIL import Image

from models.record import IMAGE_SIZE
from serving.images.decode import resample
from training.data.dataset import DataError, Dataset, Images, Labels, Split, class_name, task
from training.data.split import Part, divide

Names = Mapping[Part, tuple[str, str]]  # of the arrays of images and of labels

_SHORT: Mapping[Part, str] = {"train": "train", "validation": "val", "test": "test"}
_KERAS: Names = {part: (f"x_{name}", f"y_{name}") for part, name in _SHORT.items()}
_MEDMNIST: Names = {part: (f"{name}_images", f"{name}_labels") for part, name in _SHORT.items()}
_FORM = (
    "an .npz file holds x_train, y_train, x_test and y_test, or train_images, train_labels, "
    "test_images and test_labels: images as uint8 [N, height, width] or [N, height, width, 3], "
    "labels as integers [N]"
)


def load(path: Path, classes: str | None) -> Dataset:
    """Load a file; `classes` names its labels, from 0, separated by commas.

    Images of another size are resampled as the service does it.

    Raises:
        DataError: the file has another form, a label has no name, or a class too few images.
    """
    try:
        # Pickles run code.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            given = _splits(path, arrays)
    except DataError:
        raise
    except (OSError, ValueError, TypeError, EOFError, MemoryError, BadZipFile, zlib.error) as error:
        raise DataError(f"cannot read {path} ({error}); {_FORM}") from error
    names = _class_names(path, classes, [split.labels for split in given.values()])
    parts, how = divide(given, names, str(path))
    return Dataset(
        name=path.stem,
        source="an .npz file",
        classes=names,
        split=how,
        task=task(len(names), parts["train"]),
        options=("--data-dir", path.name, *(("--classes", classes) if classes else ())),
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
    )


def _class_names(path: Path, classes: str | None, labels: list[Labels]) -> tuple[str, ...]:
    """Return the names of the labels, which are their numbers where `classes` has none."""
    most = max(int(of_part.max(initial=0)) for of_part in labels)
    if classes is None:
        if most >= sum(map(len, labels)):
            raise DataError(f"{path} has the label {most}; labels must count from 0 without gaps")
        return tuple(map(str, range(most + 1)))
    names = tuple(class_name(name.strip(), "--classes") for name in classes.split(","))
    if len(set(names)) < len(names):
        raise DataError(f"--classes {classes} names a class twice")
    if most >= len(names):
        raise DataError(
            f"{path} has the label {most}, but --classes names only 0 to {len(names) - 1}"
        )
    return names


def _splits(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[Part, Split]:
    named = next((names for names in (_KERAS, _MEDMNIST) if names["train"][0] in arrays), None)
    if named is None:
        raise DataError(f"{path} holds {', '.join(arrays) or 'no array'}; {_FORM}")
    given: dict[Part, Split] = {}
    for part, (of_images, of_labels) in named.items():
        if part == "validation" and of_images not in arrays:
            continue
        for name in (of_images, of_labels):
            if name not in arrays:
                raise DataError(f"{path} has no {name}; {_FORM}")
        images = _images(arrays[of_images], f"{path}: {of_images}")
        labels = _labels(arrays[of_labels], f"{path}: {of_labels}")
        if len(images) != len(labels):
            raise DataError(
                f"{path} has {len(images)} images in {of_images}, but {len(labels)} labels in "
                f"{of_labels}; each image needs one"
            )
        given[part] = Split(images, labels)
    return given


def _images(array: npt.NDArray[Any], name: str) -> Images:
    """Return images as the models see them."""
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    if (
        array.dtype != np.uint8
        or array.ndim not in {3, 4}
        or (array.ndim == 4 and array.shape[3] != 3)
        or 0 in array.shape[1:]
    ):
        raise DataError(f"{name} is {array.dtype} {list(array.shape)}; {_FORM}")
    if array.shape[1:] == (IMAGE_SIZE, IMAGE_SIZE, 3):
        return array
    found = np.empty((len(array), IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
    for place, image in enumerate(array):
        found[place] = np.asarray(resample(Image.fromarray(image)).convert("RGB"))
    return found


def _labels(array: npt.NDArray[Any], name: str) -> Labels:
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise DataError(f"{name} is {array.dtype} {list(array.shape)}; {_FORM}")
    labels = array.astype(np.int64)
    if (least := labels.min(initial=0)) < 0:
        raise DataError(f"{name} has the label {least}; labels must count from 0 without gaps")
    return labels
