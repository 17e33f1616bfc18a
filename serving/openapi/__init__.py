"""The OpenAPI 3.1 document: paths are written here, schemas are derived from types.

Schemathesis checks it against the service.

The libraries that generate one (flask-openapi3, APIFlask, flask-smorest, spectree) take over
request parsing, and none of them describes a body that is either a form or the image itself.
"""

from models.record import IMAGE_SIZE
from serving import NAME, VERSION
from serving.http.intake import KEY_HEADER
from serving.http.parameters import VersionParameter
from serving.inference.registry import Classifiers
from serving.openapi.answers import all_schemas
from serving.openapi.images import image_paths
from serving.openapi.parts import (
    Json,
    as_bytes,
    as_json,
    in_path,
    in_query,
    operation,
    problems,
)
from serving.openapi.protocol import protocol_paths
from serving.settings import Settings

PROBES = frozenset({"/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"})
OPEN_PATHS = PROBES | {"/metrics"}


def describe_api(classifiers: Classifiers, settings: Settings) -> Json:
    """Return the OpenAPI document; it names the loaded models."""
    [version] = in_query(VersionParameter, classifiers.names)
    document: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": NAME,
            "version": VERSION,
            "description": "Classifies images with convolutional networks whose input is "
            f"{IMAGE_SIZE}×{IMAGE_SIZE} pixels. Each answer includes the model's recorded test "
            "accuracy.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": ".", "description": "the server of this document"}],
        "paths": {
            **image_paths(classifiers),
            **_paths(classifiers, version),
            **protocol_paths(classifiers),
        },
        "components": {
            "schemas": all_schemas(),
        },
    }
    if settings.api_key:
        _ask_for_key(document, open_paths=PROBES if settings.metrics_need_key else OPEN_PATHS)
    return document


def _ask_for_key(document: Json, *, open_paths: frozenset[str]) -> None:
    document["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "key": {"type": "apiKey", "in": "header", "name": KEY_HEADER},
    }
    document["security"] = [{"bearer": []}, {"key": []}]
    for path, item in document["paths"].items():
        for described in (item[method] for method in ("get", "post") if method in item):
            if path in open_paths:
                described["security"] = []
            else:
                described["responses"] |= problems(401)


def _paths(classifiers: Classifiers, version: Json) -> Json:
    name = in_path("name", classifiers.names)
    refused = problems(400, 404)
    return {
        "/models": {"get": operation("All models' records", as_json("Models"), **problems(400))},
        "/models/{name}": {
            "parameters": [name, version],
            "get": operation("A model's record", as_json("ServedRecord"), **refused),
        },
        "/models/{name}/curves.png": {
            "parameters": [name, version],
            "get": operation("A model's learning curves", as_bytes("image/png"), **refused),
        },
        "/study": {
            "get": operation(
                "Measured regularization techniques and experiments, and every version's learning "
                "curves and calibration",
                as_json("Study"),
                **problems(400),
            )
        },
        "/health/live": {"get": operation("Liveness probe", as_json("Status"))},
        "/health/ready": {"get": operation("Readiness probe", as_json("Status"), **problems(503))},
        "/metrics": {"get": operation("Prometheus metrics", as_bytes("text/plain"))},
    }
