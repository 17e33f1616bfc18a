"""The records of the loaded models."""

from flask import Blueprint, Response, request, send_file
from flask.typing import ResponseReturnValue

from serving.service import Service


def create_blueprint(service: Service) -> Blueprint:
    """Return the routes under /models."""
    blueprint = Blueprint("models", __name__, url_prefix="/models")

    @blueprint.get("")
    def models() -> ResponseReturnValue:
        return {"models": [c.record.model_dump(mode="json") for c in service.classifiers]}

    @blueprint.get("/<name>")
    def model(name: str) -> ResponseReturnValue:
        classifier = service.classifiers.find(name, request.args.get("version"))
        return classifier.record.model_dump(mode="json")

    @blueprint.get("/<name>/curves.png")
    def curves(name: str) -> Response:
        return send_file(service.classifiers.find(name, request.args.get("version")).curves)

    return blueprint
