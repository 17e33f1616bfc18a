"""An .npz file of images of one's own, as Keras and MedMNIST write it."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from serving.images.decode import decode
from tests.training.generated import counts, noise, pixels
from training import data
from training.data import DataError


def arrays(size: int = 28, *channels: int, **changed: Any) -> dict[str, Any]:
    """Return Keras' arrays, of two classes."""
    return {
        "x_train": noise(0, 40, size, size, *channels),
        "y_train": np.arange(40, dtype=np.uint8) % 2,
        "x_test": noise(1, 10, size, size, *channels),
        "y_test": (np.arange(10) % 2)[:, None],
    } | changed


def test_an_npz_file_of_keras_or_medmnist(tmp_path: Path) -> None:
    path = tmp_path / "digits.npz"
    gray = arrays()
    np.savez(path, **gray)
    found = data.load(path, classes="odd, 日本")
    assert (found.name, found.classes) == ("digits", ("odd", "日本"))
    assert counts(found) == {"training": [16, 16], "validation": [4, 4], "test": [5, 5]}
    # The pixels are those that the service makes of the same image in a file.
    Image.fromarray(gray["x_test"][3]).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    assert decode(content, name="it", resize=True).pixels.tobytes() in pixels(found)["test"]

    colored = arrays(32, 3)
    np.savez_compressed(
        path,
        train_images=colored["x_train"],
        train_labels=colored["y_train"],
        val_images=noise(2, 2, 32, 32, 3),
        val_labels=np.array([[1], [0]]),
        test_images=colored["x_test"],
        test_labels=colored["y_test"],
    )
    found = data.load(path)
    assert found.classes == ("0", "1")
    assert counts(found) == {"training": [20, 20], "validation": [1, 1], "test": [5, 5]}
    assert pixels(found)["test"] == {image.tobytes() for image in colored["x_test"]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (arrays(y_train=np.array([object()] * 40)), r"cannot read .*\.npz \(.*allow_pickle=False"),
        (arrays(x_train=np.zeros((40, 28, 28))), r"x_train is float64 \[40, 28, 28\]; an .npz"),
        (arrays(x_train=noise(0, 40, 3, 32, 32)), r"x_train is uint8 \[40, 3, 32, 32\]; an .npz"),
        (arrays(y_train=np.zeros((40, 2), int)), r"y_train is int64 \[40, 2\]; an .npz file"),
        (
            arrays(y_train=np.arange(40) % 2 - 1),
            r"y_train has the label -1; labels must count from 0",
        ),
        (arrays(y_train=np.arange(40) * 2**40), r"has the label \d+; labels must count from 0"),
        (arrays(y_train=np.arange(39)), r"has 40 images in x_train, but 39 labels in y_train"),
        ({"x_train": noise(0, 9, 9, 9)}, r"has no y_train; an .npz file holds"),
        ({"images": noise(0, 9, 9, 9)}, r"holds images; an .npz file holds x_train"),
    ],
)
def test_an_npz_file_of_another_form_is_refused(
    tmp_path: Path, content: dict[str, Any], words: str
) -> None:
    path = tmp_path / "some.npz"
    np.savez(path, **content)
    with pytest.raises(DataError, match=words) as refusal:
        data.load(path)
    assert str(path) in refusal.value.message


def test_labels_that_have_no_name(tmp_path: Path) -> None:
    path = tmp_path / "some.npz"
    np.savez(path, **arrays())
    for classes, words in (
        ("a", "has the label 1, but --classes names only 0 to 0"),
        ("a,a", "--classes a,a names a class twice"),
        ("a,", "'' cannot name a class"),
        ("a,b,c", "'c' has 0"),
    ):
        with pytest.raises(DataError, match=re.escape(words)):
            data.load(path, classes=classes)
    path.write_bytes(b"PK\3\4 and no more")
    with pytest.raises(DataError, match=r"cannot read .*some\.npz"):
        data.load(path)
