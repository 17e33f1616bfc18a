"""The schemas of the Open Inference Protocol's requests and answers."""

from models.record import CLASSES, IMAGE_SIZE, INPUT, OUTPUT
from serving.openapi.parts import (
    BOOLEAN,
    COUNT,
    INTEGER,
    STRING,
    STRING_OR_NULL,
    Json,
    fixed,
    list_of,
    object_of,
    reference,
)

_TENSOR = object_of(name=STRING, datatype=STRING, shape=list_of(INTEGER))


def protocol_schemas(max_images: int) -> Json:
    """Return the schemas of the protocol's requests and answers."""
    return {**_descriptions(), **_requests(max_images), **_answers()}


def _descriptions() -> Json:
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
            parameters={
                "type": "object",
                "additionalProperties": STRING,
                "description": "How else the input may be sent, and the output's labels.",
            },
        ),
        "V2Config": {
            "type": "object",
            "description": "Triton's ModelConfig message.",
            "properties": {
                "name": STRING,
                "platform": STRING,
                "max_batch_size": {**COUNT, "description": "Images in a request."},
                "input": list_of({"type": "object"}),
                "output": list_of({"type": "object"}),
            },
            "required": ["name", "platform", "max_batch_size", "input", "output"],
        },
        "V2IndexRequest": {
            "type": "object",
            "properties": {
                "ready": {"type": ["boolean", "null"], "description": "Only those that work."}
            },
        },
        "V2Index": list_of(
            object_of(
                name=STRING,
                version=STRING,
                state={"enum": ["READY", "UNAVAILABLE"]},
                reason=STRING,
            )
        ),
        "V2Stats": object_of(
            model_stats=list_of(
                object_of(
                    name=STRING,
                    version=STRING,
                    last_inference={**COUNT, "description": "Milliseconds since 1970."},
                    inference_count={**COUNT, "description": "Images."},
                    execution_count={**COUNT, "description": "Runs of a batch."},
                    inference_stats={
                        "type": "object",
                        "additionalProperties": object_of(count=COUNT, ns=COUNT),
                        "description": "success and fail are of requests, queue of their waits, "
                        "compute_infer of runs.",
                    },
                    batch_stats={"type": "array", "maxItems": 0},
                )
            )
        ),
    }


def _requests(max_images: int) -> Json:
    count = {"type": "integer", "minimum": 1, "maximum": max_images}
    resize = {
        **BOOLEAN,
        "description": "Take files of any size; their center is cropped and resampled.",
    }
    return {
        "V2Request": {
            "type": "object",
            "properties": {
                "id": STRING_OR_NULL,
                "parameters": _parameters(binary_data_output=BOOLEAN, resize=resize),
                "inputs": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 1,
                    "items": {"oneOf": [reference("V2Pixels"), reference("V2Files")]},
                },
                "outputs": {
                    **list_of(reference("V2RequestedOutput")),
                    "type": ["array", "null"],
                    "maxItems": 1,
                },
            },
            "required": ["inputs"],
        },
        "V2Pixels": object_of(
            name=fixed(INPUT),
            datatype=fixed("UINT8"),
            shape=_shape(count, *({"const": side} for side in (IMAGE_SIZE, IMAGE_SIZE, 3))),
            optional={
                "parameters": _parameters(binary_data_size=INTEGER),
                "data": {
                    "type": "array",
                    "description": "Pixels, 0 to 255, row by row, nested or flat.",
                },
            },
        ),
        "V2Files": object_of(
            name=fixed(INPUT),
            datatype=fixed("BYTES"),
            shape={"oneOf": [_shape(count), _shape(count, {"const": 1})]},
            optional={
                "parameters": _parameters(
                    binary_data_size=INTEGER,
                    resize=resize,
                ),
                "data": {
                    "type": "array",
                    "description": "Each file as base64.",
                },
            },
        ),
        "V2RequestedOutput": object_of(
            name=fixed(OUTPUT),
            optional={
                "parameters": _parameters(
                    binary_data=BOOLEAN,
                    classification={
                        "type": "integer",
                        "minimum": 0,
                        "maximum": len(CLASSES),
                        "description": "Answer with so many classes, the likeliest first, as "
                        "texts: value:index:label.",
                    },
                )
            },
        ),
    }


def _answers() -> Json:
    return {
        "V2Response": object_of(
            model_name=STRING,
            model_version=STRING,
            outputs=list_of(
                object_of(
                    name=STRING,
                    datatype={"enum": ["FP32", "BYTES"]},
                    shape=list_of(INTEGER),
                    optional={
                        "data": list_of({"type": ["number", "string"]}),
                        "parameters": _parameters(binary_data_size=INTEGER),
                    },
                )
            ),
            optional={"id": STRING},
        ),
    }


def _parameters(**known: Json) -> Json:
    return {"type": ["object", "null"], "properties": known}


def _shape(*sides: Json) -> Json:
    return {
        "type": "array",
        "prefixItems": list(sides),
        "minItems": len(sides),
        "maxItems": len(sides),
    }
