"""The schemas of the Open Inference Protocol's requests."""

from models.record import CLASSES, IMAGE_SIZE, INPUT, OUTPUT
from serving.openapi.parts import (
    BOOLEAN,
    INTEGER,
    STRING_OR_NULL,
    Json,
    fixed,
    list_of,
    object_of,
    reference,
)


def request_schemas(max_images: int) -> Json:
    """Return the schemas of the protocol's requests."""
    count = {"type": "integer", "minimum": 1, "maximum": max_images}
    resize = {
        **BOOLEAN,
        "description": "Take files of any size; their center is cropped and resampled.",
    }
    return {
        "V2IndexRequest": {
            "type": "object",
            "properties": {
                "ready": {"type": ["boolean", "null"], "description": "Only those that work."}
            },
        },
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
                        "type": ["integer", "null"],
                        "minimum": 0,
                        "maximum": len(CLASSES),
                        "description": "Answer with so many classes, the likeliest first, as "
                        "texts: value:index:label.",
                    },
                )
            },
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
