"""The API's description, OpenAPI 3.1: written here, checked against the service by Schemathesis.

The libraries that generate one (flask-openapi3, APIFlask, flask-smorest, spectree) take over the
reading of requests, and none of them describes a body that is either a form or the image itself.
"""

from http import HTTPStatus
from typing import Any

from pydantic.json_schema import models_json_schema

from models.record import CLASSES, IMAGE_SIZE, INPUT, OUTPUT, Record
from serving import NAME, VERSION
from serving.access import KEY_HEADER
from serving.images import MIMETYPES
from serving.problems import CONTENT_TYPE
from serving.registry import Classifiers
from serving.routes.inference_protocol import HEADER_LENGTH
from serving.settings import Settings

Json = dict[str, Any]
PROBES = frozenset({"/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"})
OPEN_PATHS = PROBES | {"/metrics"}


def describe_api(classifiers: Classifiers, settings: Settings) -> Json:
    """Return the OpenAPI document; it names the loaded models."""
    _, records = models_json_schema(
        [(Record, "serialization")], ref_template="#/components/schemas/{model}"
    )
    version = _query("version", {"type": "string"}, "Without it, each model's newest answers.")
    name: Json = {
        "name": "name",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "enum": classifiers.names},
    }
    version_in_path: Json = {
        "name": "version",
        "in": "path",
        "required": True,
        "schema": {
            "type": "string",
            "enum": sorted({v for n in classifiers.names for v in classifiers.versions(n)}),
        },
    }
    unknown = _problems(404)
    refused = _problems(400, 404)
    v2_model = {
        "": {"get": _operation("A model's inputs and outputs", _json("V2Model"), **unknown)},
        "/ready": {"get": _operation("Is this model ready?", _json("V2Ready"), **unknown)},
        "/infer": {"post": _infer()},
    }
    document: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": NAME,
            "version": VERSION,
            "description": "Classifies 32×32 images with convolutional networks trained on "
            "CIFAR-10; each answer carries the model's recorded test accuracy.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": ".", "description": "where this document is"}],
        "paths": {
            "/predict": {"post": _predict(classifiers, version)},
            "/stability": {
                "post": _insight(
                    classifiers,
                    version,
                    "Does the answer outlive small changes of the image?",
                    "ImageStability",
                    _IMAGES,
                )
            },
            "/explanations": {
                "post": _insight(
                    classifiers,
                    version,
                    "Which parts of the image does the answer rest on?",
                    "ImageExplanation",
                )
            },
            "/models": {
                "get": _operation("Every model's records", _json("Models"), **_problems(400))
            },
            "/models/{name}": {
                "parameters": [name, version],
                "get": _operation("A model's record", _json("Record"), **refused),
            },
            "/models/{name}/curves.png": {
                "parameters": [name, version],
                "get": _operation("A model's learning curves", _binary("image/png"), **refused),
            },
            "/health/live": {"get": _operation("Is the process alive?", _json("Status"))},
            "/health/ready": {
                "get": _operation("Will it answer requests?", _json("Status"), **_problems(503))
            },
            "/metrics": {"get": _operation("Prometheus' metrics", _binary("text/plain"))},
            "/v2": {"get": _operation("The server, as the protocol has it", _json("V2Server"))},
            "/v2/health/live": {"get": _operation("Is the server alive?", _json("V2Live"))},
            "/v2/health/ready": {
                "get": _operation("Is it ready?", _json("V2Ready"), **_problems(503))
            },
            **{
                f"/v2/models/{{name}}{path}": {"parameters": [name], **operation}
                for path, operation in v2_model.items()
            },
            **{
                f"/v2/models/{{name}}/versions/{{version}}{path}": {
                    "parameters": [name, version_in_path],
                    **operation,
                }
                for path, operation in v2_model.items()
            },
        },
        "components": {"schemas": {**records["$defs"], **_schemas(settings.max_images)}},
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
        for operation in (item[method] for method in ("get", "post") if method in item):
            if path in open_paths:
                operation["security"] = []
            else:
                operation["responses"] |= _problems(401)


def _predict(classifiers: Classifiers, version: Json) -> Json:
    parameters = [
        _query(
            "model",
            {"type": "array", "items": {"type": "string", "enum": classifiers.names}},
            "A model to ask; repeat for several. Without it, all.",
        ),
        version,
        _query(
            "top_k",
            {"type": "integer", "minimum": 1, "maximum": len(CLASSES)},
            "Answer with this many classes, the likeliest first.",
        ),
        _query(
            "min_confidence",
            {"type": "number", "minimum": 0, "maximum": 1},
            "A model that is less sure answers with the class null and a best_guess. What a "
            "threshold buys on the test set is in the record's calibration.coverage.",
        ),
        _query(
            "details",
            {"type": "boolean", "default": False},
            "Say with each answer how often answers like it were right on the test set.",
        ),
        _query(
            "resize",
            {"type": "boolean", "default": False},
            f"Crop the center square and resample it to {IMAGE_SIZE}×{IMAGE_SIZE}.",
        ),
        _query(
            "partial",
            {"type": "boolean", "default": False},
            "Answer an image that is refused with its problem, and the others with predictions.",
        ),
    ]
    # `format` is what has Swagger UI show a file chooser.
    image = {"type": "string", "format": "binary"}
    form = {
        "type": "object",
        "properties": {"image": {"type": "array", "minItems": 1, "items": image}},
        "required": ["image"],
    }
    return {
        **_operation(
            "Classify images",
            _json("Predictions"),
            **_problems(400, 404, 413, 415, 422, 503),
        ),
        # Swagger UI would send an example of each parameter that the form's schema names.
        "description": "The body is a form with one or several files in the field `image`, or an "
        "image itself: PNG, JPEG, WebP, GIF, BMP or AVIF (of several frames, the first). "
        "The form may have the parameters as fields, too.",
        "parameters": parameters,
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": form},
                **{
                    mimetype: {"schema": image}
                    for mimetype in (*sorted(MIMETYPES), "application/octet-stream")
                },
            },
        },
    }


def _insight(
    classifiers: Classifiers, version: Json, summary: str, schema: str, *parameters: Json
) -> Json:
    """Describe a route that takes what /predict takes, but one image."""
    predict = _predict(classifiers, version)
    shared = [p for p in predict["parameters"] if p["name"] in {"model", "version", "resize"}]
    return {
        **predict,
        "summary": summary,
        "description": "The body is a form with one image in the field `image`, or an image "
        "itself, as for /predict.",
        "parameters": [*shared, *parameters],
        "responses": {
            **predict["responses"],
            "200": {"description": "OK", "content": _json(schema)},
        },
    }


def _infer() -> Json:
    return {
        **_operation(
            "Classify a tensor of images",
            {**_json("V2Response"), **_binary("application/octet-stream")},
            **_problems(400, 404, 413, 503),
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
                **_json("V2Request"),
                **_binary("application/octet-stream"),
            },
        },
    }


def _operation(summary: str, content: Json, **responses: Json) -> Json:
    return {
        "summary": summary,
        "responses": {"200": {"description": "OK", "content": content}, **responses},
    }


def _problems(*statuses: int) -> Json:
    return {
        str(status): {
            "description": HTTPStatus(status).phrase,
            "content": {CONTENT_TYPE: {"schema": _reference("Problem")}},
        }
        for status in statuses
    }


def _query(name: str, schema: Json, description: str) -> Json:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _json(schema: str) -> Json:
    return {"application/json": {"schema": _reference(schema)}}


def _binary(mimetype: str) -> Json:
    return {mimetype: {}}


def _reference(schema: str) -> Json:
    return {"$ref": f"#/components/schemas/{schema}"}


def _object(optional: Json | None = None, **properties: Json) -> Json:
    return {
        "type": "object",
        "properties": {**properties, **(optional or {})},
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


def _fixed(value: str) -> Json:
    return {"type": "string", "const": value}


_STRING: Json = {"type": "string"}
_INTEGER: Json = {"type": "integer"}
_FRACTION: Json = {"type": "number", "minimum": 0, "maximum": 1}
_FRACTION_OR_NULL: Json = {**_FRACTION, "type": ["number", "null"]}
_PARAMETERS: Json = {"type": "object"}
_CLASS: Json = {"enum": list(CLASSES)}
_DATA_URL: Json = {"type": "string", "format": "uri", "description": "A PNG, as a data URL."}
_IMAGES = _query(
    "images",
    {"type": "boolean", "default": False},
    "Return the images of 32×32 that the models saw, too.",
)
_V2_TENSOR = _object(name=_STRING, datatype=_STRING, shape=_list(_INTEGER))


def _of_image(of_model: Json, **properties: Json) -> Json:
    return _object(
        filename={"type": ["string", "null"]},
        width=_INTEGER,
        height=_INTEGER,
        models=_list(
            _object(
                model=_STRING,
                version=_INTEGER,
                **{"class": _CLASS},
                confidence=_FRACTION,
                **of_model,
            )
        ),
        **properties,
    )


def _schemas(max_images: int) -> Json:
    return {
        "Predictions": _object(
            predictions=_list({"oneOf": [_reference("Prediction"), _reference("Refusal")]})
        ),
        "Refusal": {
            **_object(filename={"type": ["string", "null"]}, problem=_reference("Problem")),
            "description": "Of an image that is refused, where `partial` is true.",
        },
        "Prediction": _object(
            filename={"type": ["string", "null"], "description": "null for an image as the body"},
            width=_INTEGER,
            height=_INTEGER,
            models=_list(_reference("Answer")),
        ),
        "Answer": _object(
            model=_STRING,
            version=_INTEGER,
            **{"class": {"enum": [*CLASSES, None], "description": "null: below min_confidence"}},
            confidence=_FRACTION,
            probabilities={
                "type": "object",
                "propertyNames": {"enum": list(CLASSES)},
                "additionalProperties": _FRACTION,
            },
            test_accuracy=_FRACTION,
            optional={"best_guess": _CLASS, "details": _reference("Worth")},
        ),
        "Worth": _object(
            right_when_this_sure={
                **_FRACTION_OR_NULL,
                "description": "Share of right answers among test images with such a confidence.",
            },
            right_when_this_class={
                **_FRACTION_OR_NULL,
                "description": "Share of right answers among test images that got this class.",
            },
            most_often_really={
                **_list(_object(true_class=_CLASS, share=_FRACTION)),
                "description": "The two classes that this answer most often stands for wrongly.",
            },
        ),
        "ImageStability": _of_image(
            {
                "kept": {**_FRACTION, "description": "Share of the variants with the same class."},
                "changed": _list(
                    _object(variant=_STRING, **{"class": _CLASS}, confidence=_FRACTION)
                ),
            },
            variants=_list(_object(name=_STRING, optional={"image": _DATA_URL})),
        ),
        "ImageExplanation": _of_image(
            {
                "map": {
                    **_list(_list({"type": "number", "minimum": -1, "maximum": 1})),
                    "description": "[row][column]: how much less likely the class becomes when a "
                    "grey square hides that part of the image (Zeiler and Fergus, 2014).",
                }
            },
            patch={"type": "integer", "description": "Side of the square, in pixels of 32."},
            step={"type": "integer", "description": "Pixels from one position to the next."},
        ),
        "Models": _object(models=_list(_reference("Record"))),
        "Status": _object(status=_STRING),
        "Problem": {
            **_object(type=_STRING, title=_STRING, status=_INTEGER, detail=_STRING, error=_STRING),
            "description": "A problem document, RFC 9457; `detail` says what to do. "
            "`error` repeats it for the Open Inference Protocol's clients.",
        },
        "V2Server": _object(name=_STRING, version=_STRING, extensions=_list(_STRING)),
        "V2Live": _object(live={"type": "boolean"}),
        "V2Ready": _object(ready={"type": "boolean"}, optional={"name": _STRING}),
        "V2Model": _object(
            name=_STRING,
            versions=_list(_STRING),
            platform=_STRING,
            inputs=_list(_V2_TENSOR),
            outputs=_list(_V2_TENSOR),
        ),
        "V2Request": {
            "type": "object",
            "properties": {
                "id": _STRING,
                "parameters": _PARAMETERS,
                "inputs": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 1,
                    "items": _object(
                        name=_fixed(INPUT),
                        datatype=_fixed("UINT8"),
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
                "outputs": _list(
                    _object(name=_fixed(OUTPUT), optional={"parameters": _PARAMETERS})
                ),
            },
            "required": ["inputs"],
        },
        "V2Response": _object(
            model_name=_STRING,
            model_version=_STRING,
            outputs=_list(
                _object(
                    name=_STRING,
                    datatype=_STRING,
                    shape=_list(_INTEGER),
                    optional={"data": _list({"type": "number"}), "parameters": _PARAMETERS},
                )
            ),
            optional={"id": _STRING},
        ),
    }
