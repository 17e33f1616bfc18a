"""The API's description of what takes images: /predict, /stability and /explanations."""

from models.record import CLASSES, IMAGE_SIZE
from serving.images.decode import MIMETYPES
from serving.inference.registry import Classifiers
from serving.openapi.parts import (
    OF_BODIES,
    Json,
    as_json,
    operation,
    problems,
    query,
)

_IMAGES = query(
    "images",
    {"type": "boolean", "default": False},
    "Return the images of 32×32 that the models saw, too.",
)


def image_paths(classifiers: Classifiers, version: Json) -> Json:
    """Describe the routes; `version` is the parameter that chooses it."""
    return {
        "/predict": {"post": _predict(classifiers, version)},
        "/stability": {
            "post": _insight(
                classifiers,
                version,
                "Does the answer survive small changes to the image?",
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
    }


def _predict(classifiers: Classifiers, version: Json) -> Json:
    parameters = [
        query(
            "model",
            {"type": "array", "items": {"type": "string", "enum": classifiers.names}},
            "A model to ask; repeat for several. Without it, all.",
        ),
        version,
        query(
            "top_k",
            {"type": "integer", "minimum": 1, "maximum": len(CLASSES)},
            "Answer with this many classes, the likeliest first.",
        ),
        query(
            "min_confidence",
            {"type": "number", "minimum": 0, "maximum": 1},
            "A model that is less confident answers with the class null and a best_guess. The "
            "record's calibration.coverage has the share of test images that it answers, and its "
            "accuracy on them, by threshold.",
        ),
        query(
            "details",
            {"type": "boolean", "default": False},
            "Add to each answer the test accuracy of answers like it, and to each image whether it "
            "looks familiar, if the bundled improved models answer.",
        ),
        query(
            "resize",
            {"type": "boolean", "default": False},
            f"Crop the center square and resample it to {IMAGE_SIZE}×{IMAGE_SIZE}.",
        ),
        query(
            "partial",
            {"type": "boolean", "default": False},
            "Answer an image that is refused with its problem, and the others with predictions.",
        ),
        query(
            "crop",
            {"type": "boolean", "default": False},
            f"Return the image of {IMAGE_SIZE}×{IMAGE_SIZE} that the models saw, too.",
        ),
    ]
    # `format` makes Swagger UI show a file chooser.
    image = {"type": "string", "format": "binary"}
    form = {
        "type": "object",
        "properties": {"image": {"type": "array", "minItems": 1, "items": image}},
        "required": ["image"],
    }
    return {
        **operation(
            "Classify images",
            as_json("Predictions"),
            **problems(*OF_BODIES, 404, 422),
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
            "200": {"description": "OK", "content": as_json(schema)},
        },
    }
