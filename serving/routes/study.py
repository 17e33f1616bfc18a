"""GET /study: measured techniques and experiments, and a comparison of each model's recipes."""

from pathlib import Path

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from models.bundle import BundleError
from models.study import EXPERIMENTS, STUDY_FILE, TRAINING_IMAGES, Study, read_study
from serving.errors import StartError
from serving.http.answers import ComparedVersion
from serving.http.parameters import Parameters
from serving.service import Service


def create_blueprint(service: Service) -> Blueprint:
    """Return the route of the studies, which it reads once.

    Raises:
        StartError: a file is unreadable or not a valid study.
    """
    blueprint = Blueprint("study", __name__)
    folder = service.settings.models_dir
    measured = _read(folder / STUDY_FILE)
    compared = set(ComparedVersion.__annotations__)
    answer = {
        **measured.model_dump(mode="json"),
        "compared": [found.model_dump(mode="json") for found in measured.compared],
        "experiments": {
            name: [
                result.model_dump(mode="json")
                for result in _read(folder / f"{name}.json").comparable
            ]
            for name in EXPERIMENTS
        },
        "training_images": TRAINING_IMAGES,
        "versions": [
            c.record.model_dump(mode="json", include=compared)
            for c in service.classifiers
            if c.record.history and c.record.recipe
        ],
    }

    @blueprint.get("/study")
    def study() -> ResponseReturnValue:
        Parameters.read(request.args)
        return answer

    return blueprint


def _read(file: Path) -> Study:
    try:
        return read_study(file)
    except BundleError as error:
        raise StartError(str(error)) from error
