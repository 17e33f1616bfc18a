"""Images of one's own: what is read, how it is divided, and what is refused in one line."""

import shutil
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from serving.images.decode import decode
from tests.training.generated import counts, noise, pixels
from training import data
from training.data import DataError


def write(place: Path, count: int, seed: int = 0, suffix: str = ".png") -> None:
    """Write images of noise, each of another size."""
    place.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        image = Image.fromarray(noise(1000 * seed + i, 33 + i, 40, 3))
        image.save(place / f"{i:03}{suffix}")


def test_training_sees_the_pixels_that_the_service_sees(tmp_path: Path) -> None:
    names = ["日本", "a b", "<b>", "x" * 200]
    for i, (name, suffix) in enumerate(zip(names, (".png", ".jpg", ".webp", ".png"), strict=True)):
        write(tmp_path / name, 25, seed=i, suffix=suffix)
    write(tmp_path / ".hidden", 3)
    (tmp_path / ".DS_Store").touch()
    (tmp_path / "a b" / "Thumbs.db").touch()
    # Another format than the suffix says, with an orientation.
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(noise(9, 50, 70, 3)).save(tmp_path / "a b" / "000.jpg", "PNG", exif=turned)

    found = data.load(tmp_path)
    assert found.classes == tuple(sorted(names))
    assert counts(found) == {"training": [16] * 4, "validation": [4] * 4, "test": [5] * 4}
    expected = {
        (label, decode(file.read_bytes(), name="it", resize=True).pixels.tobytes())
        for label, name in enumerate(found.classes)
        for file in (tmp_path / name).iterdir()
        if file.suffix != ".db"
    }
    assert expected == {
        (label, image.tobytes())
        for part in found.parts.values()
        for image, label in zip(part.images, part.labels, strict=True)
    }
    again = data.load(tmp_path)
    assert again.sha256 == found.sha256


def test_images_are_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, cache = tmp_path / "photos", tmp_path / "runs"
    for i, name in enumerate(("cat", "dog")):
        write(photos / name, 100, seed=i)
    (photos / "cat" / "notes.txt").write_text("no image")
    first = data.load(photos, cache=cache)
    monkeypatch.setattr("training.data.folder.decode_files", None)  # it would fail
    assert data.load(photos, cache=cache).sha256 == first.sha256
    line = f"{photos}/cat/notes.txt: The file is not an image."
    assert capsys.readouterr().err.count(line) == 2

    # Another file of the same name is read, and only the newest pixels are kept.
    monkeypatch.undo()
    shutil.copy(photos / "dog" / "001.png", photos / "dog" / "002.png")
    changed = data.load(photos, cache=cache)
    assert changed.sha256 != first.sha256
    assert changed.repeats == (1, 0)
    [kept] = cache.iterdir()
    kept.write_bytes(kept.read_bytes()[:1000])
    assert data.load(photos, cache=cache).sha256 == changed.sha256
    # What cannot be kept is decoded again.
    assert data.load(photos, cache=photos / "dog" / "002.png").sha256 == changed.sha256


def test_too_many_broken_files_stop_it_and_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i, name in enumerate(("cat", "dog")):
        write(tmp_path / name, 30, seed=i)
    (tmp_path / "cat" / "empty.png").touch()
    (tmp_path / "dog" / "gone.png").symlink_to("nowhere")
    with pytest.raises(DataError, match=r"2 of 62 files are not readable images .* --skip-broken"):
        data.load(tmp_path)
    assert capsys.readouterr().err.splitlines() == [
        f"{tmp_path}/cat/empty.png: The file is empty.",
        f"{tmp_path}/dog/gone.png: No such file or directory.",
    ]
    skipped = data.load(tmp_path, skip_broken=True)
    assert sum(map(len, skipped.parts.values())) == 60


def test_identical_images_stay_in_one_part(tmp_path: Path) -> None:
    for i, name in enumerate(("cat", "dog")):
        write(tmp_path / name, 40, seed=i)
        for copy in range(20):
            shutil.copy(tmp_path / name / f"{copy:03}.png", tmp_path / name / f"copy{copy}.png")
    shutil.copy(tmp_path / "cat" / "000.png", tmp_path / "dog" / "cat.png")
    found = data.load(tmp_path)
    training, validation, test = pixels(found).values()
    assert not training & validation
    assert not (training | validation) & test
    assert len(training | validation | test) == 80
    assert sum(map(len, found.parts.values())) == 121
    assert found.repeats == (41, 1)


def test_parts_that_are_given(tmp_path: Path) -> None:
    for i, name in enumerate(("cat", "dog")):
        write(tmp_path / "train" / name, 50, seed=i)
        write(tmp_path / "test" / unicodedata.normalize("NFD", name), 10, seed=10 + i)
    shutil.copy(tmp_path / "test/cat/000.png", tmp_path / "train/cat/leak.png")
    found = data.load(tmp_path)
    assert counts(found) == {"training": [40, 40], "validation": [10, 10], "test": [10, 10]}
    assert found.split.endswith("1 left out that are in another part")
    assert not pixels(found)["training"] & pixels(found)["test"]

    for i, name in enumerate(("cat", "dog")):
        write(tmp_path / "val" / name, 1, seed=20 + i)
    found = data.load(tmp_path)
    assert counts(found) == {"training": [50, 50], "validation": [1, 1], "test": [10, 10]}


Tree = dict[str, int | str]  # folders with that many images, and links to there

REFUSED: dict[str, tuple[Tree, str]] = {
    "empty": ({}, "photos is empty; add a subfolder of images for each class"),
    "one class": ({"cat": 20}, "photos has only one class, 'cat'; at least two"),
    "few": ({"cat": 20, "dog": 19}, "needs at least 20 images, but 'dog' has 19; add images"),
    "folders in folders": (
        {"animals/cat": 20, "plants/oak": 20},
        "animals/cat is a folder inside the class 'animals'; .* to the folder above",
    ),
    "images alone": (
        {".": 20},
        "photos/000.png is a file, but only class folders belong here; move it",
    ),
    "a loop": (
        {"cat": 20, "loop": "../photos"},
        "photos/loop is a link that leads back to .*; remove it",
    ),
    "a link to itself": (
        {"cat": 20, "loop": "loop"},
        "photos/loop is a link that leads nowhere, but",
    ),
    "case": (
        {"Cat": 20, "cat": 20},
        "photos/Cat and .*photos/cat differ only by case or Unicode form; rename or merge",
    ),
    "form": (
        {"caf\u00e9": 20, "cafe\u0301": 20},
        "differ only by case or Unicode form; rename or merge",
    ),
    "a name in Latin-1": (
        {"cat": 20, "\udce9": 20},
        "cannot name a class; use visible characters on one line, in UTF-8",
    ),
    "no test part": (
        {"train/cat": 20, "train/dog": 20},
        "photos has train, but no test; add it, or put the class folders directly into",
    ),
    "no part to train on": (
        {"test/cat": 20, "val/cat": 20},
        "photos has test and val, but no train; add it",
    ),
    "other classes": (
        {"train/cat": 20, "train/dog": 20, "test/cat": 20, "test/eel": 20},
        "photos/test has no folder 'dog', but another part does; all parts need the same",
    ),
    "a class without a test image": (
        {"train/cat": 20, "train/dog": 20, "test/cat": 20, "test/dog": 0},
        "class 'dog' has no images left for testing",
    ),
    "parts and classes": (
        {"train/cat": 20, "test/cat": 20, "extra/cat": 20},
        "photos/extra is next to train and test, .*; move it elsewhere",
    ),
    "parts without classes": (
        {"train": 20, "test": 20},
        "photos/test/000.png is a file, but only class folders belong here",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_folder_of_another_form_is_refused(tmp_path: Path, case: str) -> None:
    tree, words = REFUSED[case]
    photos = tmp_path / "photos"
    photos.mkdir()
    for i, (name, content) in enumerate(tree.items()):
        match content:
            case int():
                write(photos / name, content, seed=i)
            case str():
                (photos / name).symlink_to(content)
    before = sorted(photos.rglob("*"))
    with pytest.raises(DataError, match=words) as refusal:
        data.load(photos)
    assert "\n" not in refusal.value.message
    assert str(photos) in refusal.value.message
    assert sorted(photos.rglob("*")) == before


def test_images_that_are_all_the_same(tmp_path: Path) -> None:
    write(tmp_path / "cat", 20)
    write(tmp_path / "dog", 1, seed=1)
    for copy in range(19):
        shutil.copy(tmp_path / "dog" / "000.png", tmp_path / "dog" / f"copy{copy}.png")
    with pytest.raises(DataError, match=r"class 'dog' has no images left .*; add different images"):
        data.load(tmp_path)


def test_what_is_neither_a_folder_nor_an_npz_file(tmp_path: Path) -> None:
    (tmp_path / "photos.zip").touch()
    for name in ("photos.zip", "missing"):
        with pytest.raises(
            DataError, match=f"{name} is neither a folder nor an .npz file; set --data"
        ):
            data.load(tmp_path / name)
    with pytest.raises(DataError, match=r"--classes names the labels of an \.npz file"):
        data.load(tmp_path, classes="a,b")
