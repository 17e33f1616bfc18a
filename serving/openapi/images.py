"""The part of the API's description that takes images: /predict, /stability and /explanations."""

from models.record import CLASSES, IMAGE_SIZE
from serving.images import MIMETYPES
from serving.openapi.parts import (
    CLASS,
    FRACTION,
    FRACTION_OR_NULL,
    INTEGER,
    STRING,
    STRING_OR_NULL,
    Json,
    as_json,
    list_of,
    object_of,
    operation,
    problems,
    query,
    reference,
)
from serving.registry import Classifiers

_DATA_URL: Json = {"type": "string", "format": "uri", "description": "A PNG, as a data URL."}
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
            "A model that is less sure answers with the class null and a best_guess. What a "
            "threshold buys on the test set is in the record's calibration.coverage.",
        ),
        query(
            "details",
            {"type": "boolean", "default": False},
            "Say with each answer how often answers like it were right on the test set.",
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
    # `format` is what has Swagger UI show a file chooser.
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
            **problems(400, 404, 413, 415, 422, 503),
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


def image_schemas() -> Json:
    """Return the schemas of their answers."""
    return {
        "Predictions": object_of(
            predictions=list_of({"oneOf": [reference("Prediction"), reference("Refusal")]})
        ),
        "Refusal": {
            **object_of(filename=STRING_OR_NULL, problem=reference("Problem")),
            "description": "Of an image that is refused, where `partial` is true.",
        },
        "Prediction": object_of(
            filename={"type": ["string", "null"], "description": "null for an image as the body"},
            width=INTEGER,
            height=INTEGER,
            models=list_of(reference("Answer")),
            optional={"crop": _DATA_URL},
        ),
        "Answer": object_of(
            model=STRING,
            version=INTEGER,
            **{"class": {"enum": [*CLASSES, None], "description": "null: below min_confidence"}},
            confidence=FRACTION,
            probabilities={
                "type": "object",
                "propertyNames": {"enum": list(CLASSES)},
                "additionalProperties": FRACTION,
            },
            test_accuracy=FRACTION,
            optional={"best_guess": CLASS, "details": reference("Worth")},
        ),
        "Worth": object_of(
            right_when_this_sure={
                **FRACTION_OR_NULL,
                "description": "Share of right answers among test images with such a confidence.",
            },
            right_when_this_class={
                **FRACTION_OR_NULL,
                "description": "Share of right answers among test images that got this class.",
            },
            most_often_really={
                **list_of(object_of(true_class=CLASS, share=FRACTION)),
                "description": "The two classes that this answer most often stands for wrongly.",
            },
        ),
        "ImageStability": _of_image(
            {
                "kept": {**FRACTION, "description": "Share of the variants with the same class."},
                "changed": list_of(
                    object_of(variant=STRING, **{"class": CLASS}, confidence=FRACTION)
                ),
            },
            variants=list_of(object_of(name=STRING, optional={"image": _DATA_URL})),
        ),
        "ImageExplanation": _of_image(
            {
                "map": {
                    **list_of(list_of({"type": "number", "minimum": -1, "maximum": 1})),
                    "description": "[row][column]: how much less likely the class becomes when a "
                    "grey square hides that part of the image (Zeiler and Fergus, 2014).",
                }
            },
            patch={"type": "integer", "description": "Side of the square, in pixels of 32."},
            step={"type": "integer", "description": "Pixels from one position to the next."},
        ),
    }


def _of_image(of_model: Json, **properties: Json) -> Json:
    return object_of(
        filename=STRING_OR_NULL,
        width=INTEGER,
        height=INTEGER,
        models=list_of(
            object_of(
                model=STRING,
                version=INTEGER,
                **{"class": CLASS},
                confidence=FRACTION,
                **of_model,
            )
        ),
        **properties,
    )
