"""GET /study: the regularization techniques measured, and each model's recipes compared."""

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from pydantic import ValidationError

from models.study import STUDY_FILE, read_study
from serving.errors import StartError, first_reason
from serving.http.answers import ComparedVersion
from serving.http.parameters import Parameters
from serving.service import Service


def create_blueprint(service: Service) -> Blueprint:
    """Return the route of the study, which is read once.

    Raises:
        StartError: its file cannot be read, or has another form.
    """
    blueprint = Blueprint("study", __name__)
    file = service.settings.models_dir / STUDY_FILE
    try:
        measured = read_study(file)
    except OSError as error:
        raise StartError(f"cannot read {file}: {error.strerror}") from error
    except ValidationError as error:
        raise StartError(f"{file} is not a study: {first_reason(error, 'the file')}") from error
    compared = set(ComparedVersion.__annotations__)
    versions = [
        c.record.model_dump(mode="json", include=compared)
        for c in service.classifiers
        if c.record.history and c.record.recipe
    ]
    comparisons = [found.model_dump(mode="json") for found in measured.compared]
    answer = measured.model_dump(mode="json") | {"compared": comparisons, "versions": versions}

    @blueprint.get("/study")
    def study() -> ResponseReturnValue:
        Parameters.read(request.args)
        return answer

    return blueprint
