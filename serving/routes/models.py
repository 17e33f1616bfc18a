"""The records of the loaded models."""

from typing import Any

from flask import Blueprint, Response, request, send_file
from flask.typing import ResponseReturnValue

from serving.errors import NotFoundError
from serving.http.parameters import Parameters, VersionParameter
from serving.inference.classifier import Classifier
from serving.service import Service


def create_blueprint(service: Service) -> Blueprint:
    """Return the routes under /models."""
    blueprint = Blueprint("models", __name__, url_prefix="/models")

    @blueprint.get("")
    def models() -> ResponseReturnValue:
        Parameters.read(request.args, also=" /models/<name> takes version.")
        return {"models": [describe(c) for c in service.classifiers]}

    @blueprint.get("/<name>")
    def model(name: str) -> ResponseReturnValue:
        return describe(find(name))

    @blueprint.get("/<name>/curves.png")
    def curves(name: str) -> Response:
        classifier = find(name)
        if not classifier.curves.is_file():
            record = classifier.record
            raise NotFoundError(f"{record.name} version {record.version} has no curves.png.")
        return send_file(classifier.curves)

    def describe(classifier: Classifier) -> dict[str, Any]:
        record = classifier.record.model_dump(mode="json")
        return record | {"served_precision": classifier.precision}

    def find(name: str) -> Classifier:
        return service.classifiers.find(name, VersionParameter.read(request.args).version)

    return blueprint
