"""The OpenAPI description of the Open Inference Protocol's routes."""

from models.record import IMAGE_SIZE
from serving.inference.registry import Classifiers
from serving.openapi.parts import (
    COUNT,
    OF_BODIES,
    Json,
    as_bytes,
    as_json,
    in_path,
    list_of,
    operation,
    problems,
    reference,
)
from serving.protocol import HEADER_LENGTH

_INDEX: Json = {"application/json": {"schema": list_of(reference("IndexEntry"))}}
_ANSWERS: Json = {**as_json("InferenceResponse"), **as_bytes("application/octet-stream")}


def protocol_paths(classifiers: Classifiers) -> Json:
    """Describe the routes under /v2."""
    unknown = problems(404)
    of_model = {
        "": {"get": operation("A model's inputs and outputs", as_json("ModelMetadata"), **unknown)},
        "/config": {
            "get": operation(
                "A model's configuration, as in Triton", as_json("ModelConfig"), **unknown
            )
        },
        "/stats": {"get": operation("A model's statistics", as_json("Statistics"), **unknown)},
        "/ready": {
            "get": operation("Readiness of a model", as_json("Ready"), **problems(404, 503))
        },
        "/infer": {"post": _infer()},
    }
    name = in_path("name", classifiers.names)
    versions = sorted({v for n in classifiers.names for v in classifiers.versions(n)})
    return {
        "/v2": {"get": operation("Server metadata", as_json("ServerMetadata"))},
        "/v2/health/live": {"get": operation("Liveness probe", as_json("Live"))},
        "/v2/health/ready": {
            "get": operation("Readiness probe", as_json("Ready"), **problems(503))
        },
        "/v2/models/stats": {"get": operation("All models' statistics", as_json("Statistics"))},
        **{
            f"/v2/models/{{name}}{path}": {"parameters": [name], **item}
            for path, item in of_model.items()
        },
        **{
            f"/v2/models/{{name}}/versions/{{version}}{path}": {
                "parameters": [name, in_path("version", versions)],
                **item,
            }
            for path, item in of_model.items()
        },
        "/v2/repository/index": {
            "post": {
                **operation("All models and versions", _INDEX, **problems(*OF_BODIES)),
                "requestBody": {"required": False, "content": as_json("IndexRequest")},
            }
        },
        **{
            f"/v2/repository/models/{{name}}/{verb}": {
                "parameters": [name],
                "post": {
                    "summary": f"Not supported: SIGHUP {verb}s models",
                    "responses": problems(*OF_BODIES),
                },
            }
            for verb in ("load", "unload")
        },
    }


def _infer() -> Json:
    described = operation("Classify images", _ANSWERS, **problems(*OF_BODIES, 404, 422))
    described["responses"]["200"]["headers"] = {
        HEADER_LENGTH: {
            "schema": COUNT,
            "description": "Bytes of JSON, if binary tensor data follows it.",
        }
    }
    return {
        **described,
        "description": f"Send images as pixels, a UINT8 tensor [N, {IMAGE_SIZE}, {IMAGE_SIZE}, 3], "
        "or as files, the elements of a BYTES tensor.",
        "parameters": [
            {
                "name": HEADER_LENGTH,
                "in": "header",
                "schema": COUNT,
                "description": "Bytes of JSON, if binary tensor data follows it; 0 if the body is "
                "only pixels, which also makes the response binary.",
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                **as_json("InferenceRequest"),
                **as_bytes("application/octet-stream"),
            },
        },
    }
