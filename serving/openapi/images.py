"""The OpenAPI description of the image routes: /predict, /stability and /explanations."""

from serving.http.parameters import ImageParameters, PredictParameters, StabilityParameters
from serving.http.uploads import FIELD, FIELDS, FORM, JSON
from serving.images.decode import MIMETYPES
from serving.inference.registry import Classifiers
from serving.openapi.parts import (
    OF_BODIES,
    Json,
    as_json,
    in_query,
    members,
    operation,
    problems,
)


def image_paths(classifiers: Classifiers) -> Json:
    """Describe the routes."""

    def route(summary: str, answer: str, kind: type[ImageParameters]) -> Json:
        images = "one or several files" if kind is PredictParameters else "one file"
        return {
            "post": {
                **operation(summary, as_json(answer), **problems(*OF_BODIES, 404, 422)),
                # Swagger UI would send an example of each parameter that the form's schema names.
                "description": f"The body is a form with {images} in the field `{FIELD}`, the "
                "image itself (PNG, JPEG, WebP, GIF, BMP or AVIF; only the first frame is read), "
                "or JSON with base64. Parameters may also be sent in the form or the JSON.",
                "parameters": in_query(kind, classifiers.names),
                "requestBody": {"required": True, "content": _bodies(kind)},
            }
        }

    def _bodies(kind: type[ImageParameters]) -> Json:
        # `format` makes Swagger UI show a file chooser.
        image = {"type": "string", "format": "binary"}
        files = {"type": "array", "minItems": 1, "items": image}
        base64 = {
            "type": "string",
            "contentEncoding": "base64",
            "description": "The file as base64 or as a data URL.",
        }
        sent: Json = {FIELD: base64}
        if FIELDS not in kind.model_fields:
            sent[FIELDS] = {"type": "array", "minItems": 1, "items": base64}
        return {
            FORM: {"schema": {"type": "object", "properties": {FIELD: files}, "required": [FIELD]}},
            JSON: {
                "schema": {
                    "type": "object",
                    "properties": {**sent, **members(kind, classifiers.names)},
                    "oneOf": [{"required": [name]} for name in sent],
                    "additionalProperties": False,
                }
            },
            **{
                mimetype: {"schema": image}
                for mimetype in (*sorted(MIMETYPES), "application/octet-stream")
            },
        }

    return {
        "/predict": route("Classify images", "Predictions", PredictParameters),
        "/stability": route(
            "Test how stable predictions are under small changes to the image",
            "ImageStability",
            StabilityParameters,
        ),
        "/explanations": route(
            "Show which parts of the image predictions depend on",
            "ImageExplanation",
            ImageParameters,
        ),
    }
