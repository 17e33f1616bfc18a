"""Images of one's own, from the files to the figures: trained, recorded, reported and served."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from click.testing import CliRunner
from PIL import Image

from examples.digits import write_digits
from models.measurements import Score
from models.record import Record
from serving.images.decode import decode
from tests.helpers import ROOT, png, run_server, upload
from tests.training.generated import dataset, generate
from training import data
from training.__main__ import main
from training.config import Config
from training.data import Dataset
from training.data.cifar10 import TASK
from training.export.publish import ReplaceError
from training.measure.predict import predict_keras
from training.networks.architectures import build
from training.networks.recipes import ARTICLE, IMPROVED
from training.pipeline import check_training, train_model
from training.report.findings import interval, observations
from training.runs.checkpoints import Plan, RunError, RunFolder
from training.runs.train import load_trained_model, train

ODD_NAMES = ("日本", "a b", "<b>", "x|" * 100)


def write_shades(folder: Path, names: tuple[str, ...], counts: tuple[int, ...]) -> None:
    """Write files of several formats and sizes, whose brightness tells their class."""
    random = np.random.default_rng(0)
    for label, (name, count) in enumerate(zip(names, counts, strict=True)):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            image = random.integers(0, 20, (32 + i % 9, 40, 3)) + 60 * label
            suffix = (".png", ".jpg", ".webp")[i % 3]
            Image.fromarray(image.astype(np.uint8)).save(folder / name / f"{i}{suffix}")


def readme_options() -> list[str]:
    """Return the README's options for the digits, but for the folders."""
    [command] = re.findall(r"-m training (--data-dir digits .*)", (ROOT / "README.md").read_text())
    return re.sub("--data-dir digits | --models-dir mine", "", command).split()


def run(*options: str | Path) -> str:
    result = CliRunner().invoke(main, [*map(str, options)])
    assert result.exit_code == 0, result.output
    return result.output


class Own:
    """Three models in one folder, each of other images."""

    def __init__(self, folder: Path) -> None:
        self.models = folder / "mine"
        self.runs = folder / "runs"
        self.folders = ("--models-dir", self.models, "--runs-dir", self.runs)
        self.places = {name: folder / name for name in ("digits", "shades", "letters.npz")}
        write_digits(self.places["digits"])
        write_shades(self.places["shades"], ODD_NAMES, (20, 30, 25, 200))
        shades = generate(300, seed=3)
        few = np.flatnonzero(shades.labels < 2)  # of two classes
        np.savez(
            self.places["letters.npz"],
            x_train=shades.images[few],
            y_train=shades.labels[few],
            x_test=255 - shades.images[few][:4],
            y_test=np.array([0, 0, 0, 1]),  # one image of a class
        )
        self.output = {
            "digits": self.train("digits", *readme_options(), "--epochs", "3"),
            "shades": self.train(
                *("shades", "--model", "first", "--recipe", "improved", "--epochs", "3"),
                *("--license", "CC0"),
            ),
            "letters": self.train(
                "letters.npz", "--model", "first", "--classes", "a,b", "--epochs", "1"
            ),
        }

    def train(self, place: str, *options: str) -> str:
        name = place.removesuffix(".npz")
        path = self.places[place]
        return run("--data-dir", path, "--name", name, *self.folders, *options)

    def record(self, name: str) -> Record:
        [path] = self.models.glob(f"{name}/*/metadata.json")
        return Record.model_validate_json(path.read_bytes())


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Own:
    return Own(tmp_path_factory.mktemp("own"))


def test_the_record_says_what_it_is_of(own: Own) -> None:
    digits, shades, letters = map(own.record, ("digits", "shades", "letters"))
    assert (digits.network, digits.title, digits.flips) == ("first", "digits", False)
    assert shades.flips
    assert digits.article is None
    assert digits.dataset
    assert (digits.dataset.name, sum(digits.dataset.counts["test"].values())) == ("digits", 355)
    assert digits.test_accuracy
    assert digits.test_accuracy > 0.9
    assert digits.test_accuracy == round(digits.test_accuracy, 6)
    assert shades.dataset
    assert letters.dataset
    assert set(shades.classes) == set(ODD_NAMES)
    assert shades.dataset.counts["training"]["日本"] == 13
    assert shades.dataset.license == "CC0"
    assert letters.classes == ["a", "b"]
    assert letters.dataset.counts["test"] == {"a": 3, "b": 1}
    assert digits.provenance
    assert digits.provenance.command == (
        "python -m training train --data-dir digits --model first --recipe article --name digits "
        "--no-flips --epochs 3 --seed 0 --precision float32"
    )
    lines = own.output["digits"].splitlines()
    [start] = [i for i, line in enumerate(lines) if line.startswith("Test accuracy ")]
    assert lines[start].startswith(f"Test accuracy {digits.test_accuracy:.1%} on 355 images")
    assert lines[start:][: len(observations(digits))] == observations(digits)


def test_the_report_shows_names_as_they_are(own: Own) -> None:
    run("report", "--models-dir", own.models)
    card = (own.models / "shades" / "README.md").read_text("utf-8")
    for name in ("日本", r"\<b\>", r"x\|" * 100):
        assert f"\n| {name} |" in card
    assert "CIFAR" not in card
    page = own.models / "README.md"
    assert "| `shades` | 2 | improved |" in page.read_text("utf-8")
    run("report", "--models-dir", own.models, "--check")
    page.write_text("# Mine\n")
    run("report", "--models-dir", own.models)
    assert page.read_text() == "# Mine\n"


def test_other_images_models_are_left_out(own: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    before = own.record("shades")
    monkeypatch.setattr("training.data.folder.decode_files", None)  # the training has decoded them
    options = ("--data-dir", own.places["shades"], *own.folders)
    for command in ("evaluate", "quantize", "verify"):
        output = run(command, *options)
        left_out = re.findall(r"(\w+)/\d is left out: it was", output)
        assert sorted(left_out) == ["digits", "letters"]
        assert "shades version 2" in output
    assert own.record("shades").model_dump(exclude={"int8"}) == before.model_dump(exclude={"int8"})


def test_a_run_goes_on_with_the_same_images_alone(own: Own, tiny: Dataset, tmp_path: Path) -> None:
    images = ("--data-dir", own.places["digits"], "--name", "digits")
    run("train", *images, "--runs-dir", own.runs, *readme_options(), "--epochs", "4")
    [digits] = [RunFolder(path.parent).read() for path in own.runs.glob("digits/*/run.json")]
    assert digits
    assert len(digits.history) == 4
    config = Config("first", epochs=5, runs_dir=tmp_path / "runs", models_dir=own.models)
    first = train_model(replace(config, epochs=1), tiny)
    others = dataset(generate(320, seed=5), generate(200, seed=6))
    with pytest.raises(
        RunError, match=r"runs/first/1 holds a run on different images than generated"
    ):
        train_model(config, others)
    assert train_model(replace(config, epochs=1), tiny) == first
    with pytest.raises(
        ReplaceError, match=r"mine/digits/1 was trained on different images \('digits'\)"
    ):
        check_training(replace(config, name="digits"), tiny)
    config = replace(config, recipe_name="improved", epochs=1)
    train_model(replace(config, flips=False), tiny)
    with pytest.raises(RunError, match=r"first/2 holds a run with --no-flips; add it to go on"):
        train_model(config, tiny)


def test_the_service_finds_the_recorded_accuracy(own: Own) -> None:
    with run_server("--models-dir", str(own.models), "--precision", "float32") as address:
        for name, place in zip(("digits", "shades", "letters"), own.places, strict=True):
            record = own.record(name)
            files = held_out(own.places[place])
            assert len(files) == sum(map(sum, record.confusion_matrix))
            right = 0
            for some in batched(files, 100):
                answer = requests.post(
                    f"{address}/predict?resize=true&model={name}",
                    files=upload(*((path, content) for path, content, _ in some)),
                ).json()["predictions"]
                classes = [prediction["models"][0]["class"] for prediction in answer]
                right += sum(
                    found == record.classes[label]
                    for found, (_, _, label) in zip(classes, some, strict=True)
                )
            assert right / len(files) == pytest.approx(record.test_accuracy, abs=1e-6)


def held_out(place: Path) -> list[tuple[str, bytes, int]]:
    """Return the names, bytes and labels of the files whose pixels are in the test part."""
    test = data.load(place, classes=None).test
    if not place.is_dir():
        return [("a.png", png(i), label) for i, label in zip(test.images, test.labels, strict=True)]
    labels = {i.tobytes(): label for i, label in zip(test.images, test.labels, strict=True)}
    found = []
    for path in sorted(place.rglob("*.*")):
        content = path.read_bytes()
        pixels = decode(content, name="it", resize=True).pixels.tobytes()
        if pixels in labels:
            found.append((path.name, content, labels[pixels]))
    return found


def batched(files: list[tuple[str, bytes, int]], size: int) -> Iterator[Any]:
    return (files[i : i + size] for i in range(0, len(files), size))


def test_small_batches(tiny: Dataset, tmp_path: Path) -> None:
    """A last batch of one image under batch normalization, and a batch larger than the images."""
    recipe = replace(ARTICLE["first"], batch_normalization=True, batch_size=4)
    five = replace(tiny, train=tiny.train.take(slice(5)))
    for size in (4, 8):
        folder = tmp_path / str(size)
        small = replace(recipe, batch_size=size)
        plan = Plan("first", small, 2, RunFolder(folder))
        done = train(plan, five)
        assert len(done.history) == 2
        network = load_trained_model(done, plan, TASK)
        assert np.isfinite(predict_keras(network, tiny.test.images)).all()


def test_fewer_images_are_trained_on_more_often() -> None:
    recipe = IMPROVED["first"]
    lengths = {n: recipe.epochs_for(n) for n in (20, 20_000, 40_000, 80_000, 4_000_000)}
    assert lengths == {20: 800, 20_000: 400, 40_000: 200, 80_000: 100, 4_000_000: 50}
    assert all(ARTICLE[name].epochs_for(40_000) == ARTICLE[name].epochs for name in ARTICLE)


def test_no_flips_leaves_the_shifts() -> None:
    still = replace(IMPROVED["first"], flips=False)
    kinds = [type(layer).__name__ for layer in build("first", still, TASK).layers]
    assert kinds[:2] == ["RandomTranslation", "RandomErasing"]
    assert not still.matches(IMPROVED["first"].hyperparameters)


def test_findings_worked_by_hand(own: Own) -> None:
    record = own.record("letters")

    def of(matrix: list[list[int]], training: float) -> Record:
        score = Score(loss=0, accuracy=training)
        changed = {"confusion_matrix": matrix, "evaluated_train": score, "int8": None}
        return Record.model_validate(record.model_dump() | changed)

    of_90_in_100 = interval(0.9, 100)
    assert list(of_90_in_100) == pytest.approx([0.8256, 0.9448], abs=1e-4)
    assert "the model overfits" in observations(of([[45, 5], [5, 45]], 1.0))[-1]
    assert "no sign of overfitting" in observations(of([[45, 5], [5, 45]], 0.93))[-1]
    always = of([[90, 0], [10, 0]], 0.9)
    assert always.balanced_accuracy == 0.5
    assert observations(always)[1] == (
        "Always predicting 'a' would reach 90.0%: the model is not better than that."
    )
    better = of([[90, 0], [1, 9]], 0.99)
    assert "The balanced accuracy, the mean over the classes, is 95.0%." in observations(better)[1]
