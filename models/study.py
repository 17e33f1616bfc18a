"""The format of study.json and its siblings: measurements of a recipe's variants.

`training` writes them, `serving` shows them; both import the format from here.
"""

from pathlib import Path

from pydantic import BaseModel, Field, JsonValue

from models.bundle import read_json
from models.measurements import Epoch, Memorization, Score
from models.record import Device, Part

CIFAR10 = "CIFAR-10"
STUDY_FILE = "study.json"  # in the models folder
EXPERIMENTS = ("random-labels", "less-data", "width")  # each in <name>.json beside it
TRAINING_IMAGES = 40_000  # of CIFAR-10, without the validation images: of all of these studies
BASELINE = "baseline"  # the recipe unchanged


class Setting(BaseModel, frozen=True):
    """What the compared runs have in common."""

    model: str
    epochs: int  # requested
    precision: str
    dataset: str = Field(CIFAR10, exclude_if=lambda name: name == CIFAR10)  # the images' name

    @property
    def title(self) -> str:
        """The setting on one line, for headings."""
        images = "" if self.dataset == CIFAR10 else f", {self.dataset}"
        return f"{self.model}, {self.epochs} epochs, {self.precision}{images}"


class Result(BaseModel):
    """One finished run; scores are of its final weights, without dropout or augmentation."""

    setting: Setting
    technique: str
    hyperparameters: dict[str, JsonValue]  # the recipe's
    seed: int
    epochs_completed: int
    seconds: float
    backend: str
    device: Device
    parts: list[Part] = []  # of the training; empty if it ended before they were recorded
    history: list[Epoch] = []  # likewise
    parameters: int | None = None  # likewise
    memorization: Memorization | None = None  # of the final weights, on all training images
    running_train_accuracy: float | None = None  # of the last epoch; the article's metric
    train: Score
    validation: Score
    test: Score
    # Older runs clipped probabilities at 1e-7, so their losses are at most 16.1 per image.
    losses_clipped: bool = True

    @property
    def key(self) -> tuple[Setting, str, int]:
        """Identifies this result."""
        return self.setting, self.technique, self.seed

    @property
    def gap(self) -> float:
        """Generalization gap: training minus validation accuracy."""
        return self.train.accuracy - self.validation.accuracy


class Compared(BaseModel):
    """A setting, and the seeds that all of its variants were trained with.

    Only these are comparable: another seed changes the accuracy by points.
    """

    setting: Setting
    seeds: list[int]


class Study(BaseModel):
    """The contents of the file."""

    results: list[Result] = []

    @property
    def compared(self) -> list[Compared]:
        """The settings in which variants were measured, in the order of their first results.

        A setting with only the baseline repeats the recipe's training with several seeds.
        """
        settings = dict.fromkeys(r.setting for r in self.results if r.technique != BASELINE)
        found = [Compared(setting=setting, seeds=self._seeds(setting)) for setting in settings]
        return [compared for compared in found if compared.seeds]

    @property
    def comparable(self) -> list[Result]:
        """The results of all that is compared: those that the tables average."""
        return [result for compared in self.compared for result in self.of(compared)]

    def of(self, compared: Compared) -> list[Result]:
        """Return the comparable results."""
        return [
            result
            for result in self.results
            if result.setting == compared.setting and result.seed in compared.seeds
        ]

    def _seeds(self, setting: Setting) -> list[int]:
        seeds: dict[str, set[int]] = {}
        for result in self.results:
            if result.setting == setting:
                seeds.setdefault(result.technique, set()).add(result.seed)
        return sorted(set.intersection(*seeds.values()))


def read_study(file: Path) -> Study:
    """Return the study so far; an empty one if there is no such file.

    Raises:
        BundleError: it cannot be read, or has another format.
    """
    return read_json(file, Study, "restore it, or remove it to start over") or Study()
