"""The Open Inference Protocol's part of the API's description."""

from models.record import IMAGE_SIZE, INPUT, OUTPUT
from serving.openapi.parts import (
    BOOLEAN,
    INTEGER,
    STRING,
    Json,
    as_bytes,
    as_json,
    fixed,
    in_path,
    list_of,
    object_of,
    operation,
    problems,
)
from serving.registry import Classifiers
from serving.routes.inference_protocol import HEADER_LENGTH

_PARAMETERS: Json = {"type": "object"}
_TENSOR = object_of(name=STRING, datatype=STRING, shape=list_of(INTEGER))


def protocol_paths(classifiers: Classifiers) -> Json:
    """Describe the routes under /v2."""
    unknown = problems(404)
    of_model = {
        "": {"get": operation("A model's inputs and outputs", as_json("V2Model"), **unknown)},
        "/ready": {"get": operation("Is this model ready?", as_json("V2Ready"), **unknown)},
        "/infer": {"post": _infer()},
    }
    name = in_path("name", classifiers.names)
    versions = sorted({v for n in classifiers.names for v in classifiers.versions(n)})
    return {
        "/v2": {"get": operation("The server, as the protocol has it", as_json("V2Server"))},
        "/v2/health/live": {"get": operation("Is the server alive?", as_json("V2Live"))},
        "/v2/health/ready": {"get": operation("Is it ready?", as_json("V2Ready"), **problems(503))},
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
    }


def _infer() -> Json:
    return {
        **operation(
            "Classify a tensor of images",
            {**as_json("V2Response"), **as_bytes("application/octet-stream")},
            **problems(400, 404, 413, 503),
        ),
        "parameters": [
            {
                "name": HEADER_LENGTH,
                "in": "header",
                "schema": {"type": "integer", "minimum": 0},
                "description": "Bytes of JSON, where binary tensor data follows it.",
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                **as_json("V2Request"),
                **as_bytes("application/octet-stream"),
            },
        },
    }


def protocol_schemas(max_images: int) -> Json:
    """Return the schemas of the protocol's requests and answers."""
    return {
        "V2Server": object_of(name=STRING, version=STRING, extensions=list_of(STRING)),
        "V2Live": object_of(live=BOOLEAN),
        "V2Ready": object_of(ready=BOOLEAN, optional={"name": STRING}),
        "V2Model": object_of(
            name=STRING,
            versions=list_of(STRING),
            platform=STRING,
            inputs=list_of(_TENSOR),
            outputs=list_of(_TENSOR),
        ),
        "V2Request": {
            "type": "object",
            "properties": {
                "id": STRING,
                "parameters": _PARAMETERS,
                "inputs": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 1,
                    "items": object_of(
                        name=fixed(INPUT),
                        datatype=fixed("UINT8"),
                        shape={
                            "type": "array",
                            "prefixItems": [
                                {"type": "integer", "minimum": 1, "maximum": max_images},
                                {"const": IMAGE_SIZE},
                                {"const": IMAGE_SIZE},
                                {"const": 3},
                            ],
                            "minItems": 4,
                            "maxItems": 4,
                        },
                        optional={
                            "parameters": _PARAMETERS,
                            "data": {
                                "type": "array",
                                "description": "Pixels, 0 to 255, row by row, nested or flat.",
                            },
                        },
                    ),
                },
                "outputs": list_of(
                    object_of(name=fixed(OUTPUT), optional={"parameters": _PARAMETERS})
                ),
            },
            "required": ["inputs"],
        },
        "V2Response": object_of(
            model_name=STRING,
            model_version=STRING,
            outputs=list_of(
                object_of(
                    name=STRING,
                    datatype=STRING,
                    shape=list_of(INTEGER),
                    optional={"data": list_of({"type": "number"}), "parameters": _PARAMETERS},
                )
            ),
            optional={"id": STRING},
        ),
    }
