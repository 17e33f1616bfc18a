"""What to train, and where its run and its bundled version go."""

from dataclasses import dataclass, replace
from pathlib import Path

from models.bundle import version_folder
from training import TrainingError
from training.data import Dataset
from training.networks.recipes import RECIPES, VERSIONS, Recipe
from training.runs.checkpoints import Plan, RunFolder


@dataclass(frozen=True)
class Config:
    """A model, how to train it, and where its run and its bundled version go."""

    model: str
    recipe_name: str = "article"
    epochs: int | None = None  # to train to; None: the recipe's
    seed: int = 0
    precision: str = "float32"  # Keras' dtype policy in training
    runs_dir: Path = Path("runs")
    models_dir: Path = Path("models")
    name: str | None = None  # of the folders; None: the network's
    flips: bool = True  # whether the recipe may mirror images
    tensorboard: bool = True  # whether training writes event files

    @property
    def published(self) -> str:
        """The name of the bundled model."""
        return self.name or self.model

    @property
    def recipe(self) -> Recipe:
        """The recipe for this model.

        Raises:
            TrainingError: the recipe is for other models.
        """
        of_model = RECIPES[self.recipe_name]
        if self.model not in of_model:
            raise TrainingError(
                f"there is no {self.recipe_name} recipe for {self.model}; choose --model "
                f"{' or '.join(of_model)}"
            )
        return replace(of_model[self.model], flips=self.flips)

    def plan(self, dataset: Dataset) -> Plan:
        """Return what to train on these images."""
        epochs = self.epochs or self.recipe.epochs_for(len(dataset.train))
        folder = RunFolder(self.run_dir)
        return Plan(self.model, self.recipe, epochs, folder, self.seed, self.precision)

    @property
    def version(self) -> int:
        """The version number of the recipe."""
        return VERSIONS[self.recipe_name]

    @property
    def folder(self) -> Path:
        """The folder of the bundled version."""
        return version_folder(self.models_dir, self.published, self.version)

    @property
    def run_dir(self) -> Path:
        """The folder of the run's checkpoint."""
        return self.runs_dir / self.published / str(self.version)
