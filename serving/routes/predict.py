"""POST /predict: the request is read, decoded, classified and answered."""

import numpy as np
from flask import Blueprint, request

from models.record import CLASSES
from serving.classifier import Classifier
from serving.decoding import Upload
from serving.errors import BadRequestError, TooLargeError, UnsupportedTypeError
from serving.images import FORMATS, MIMETYPES
from serving.responses import Answer, Predictions
from serving.service import Service

FIELD = "image"


def create_blueprint(service: Service) -> Blueprint:
    """Return the route that classifies images."""
    blueprint = Blueprint("predict", __name__)
    classifiers, metrics = service.classifiers, service.metrics

    @blueprint.post("/predict")
    def predict() -> Predictions:
        names = dict.fromkeys(request.args.getlist("model")) or classifiers.names
        chosen = [classifiers.find(name, request.args.get("version")) for name in names]
        with metrics.count_models(chosen):
            top_k = _read_top_k()
            resize = _read_resize()
            with metrics.decode_seconds.time():
                uploads = _read_uploads(service.settings.max_images)
                service.batcher.check_room(len(uploads) * len(chosen))  # before work is wasted
                images = service.decoders.decode(uploads, resize=resize)
            batch = np.stack([image.pixels for image in images])
            probabilities = service.batcher.classify(chosen, batch)
        metrics.count_predictions(chosen, probabilities)
        rows = [of_model.tolist() for of_model in probabilities]
        return {
            "predictions": [
                {
                    "filename": upload.filename,
                    "width": image.width,
                    "height": image.height,
                    "models": [
                        _answer(classifier, of_model[i], top_k)
                        for classifier, of_model in zip(chosen, rows, strict=True)
                    ],
                }
                for i, (upload, image) in enumerate(zip(uploads, images, strict=True))
            ]
        }

    return blueprint


def _answer(classifier: Classifier, probabilities: list[float], top_k: int | None) -> Answer:
    best_first = sorted(range(len(CLASSES)), key=probabilities.__getitem__, reverse=True)
    shown = range(len(CLASSES)) if top_k is None else best_first[:top_k]
    best = best_first[0]
    # Further digits differ from one processor to the next.
    return {
        "model": classifier.record.name,
        "version": classifier.record.version,
        "class": CLASSES[best],
        "confidence": round(probabilities[best], 6),
        "probabilities": {CLASSES[i]: round(probabilities[i], 6) for i in shown},
        "test_accuracy": classifier.record.test_accuracy,
    }


def _read_resize() -> bool:
    value = request.args.get("resize", "false")
    if value not in {"true", "false"}:
        raise BadRequestError(f"resize is {value!r}; it is true or false.")
    return value == "true"


def _read_top_k() -> int | None:
    value = request.args.get("top_k")
    if value is None:
        return None
    if value not in map(str, range(1, len(CLASSES) + 1)):
        raise BadRequestError(f"top_k is {value!r}; it is a whole number from 1 to {len(CLASSES)}.")
    return int(value)


def _read_uploads(max_images: int) -> list[Upload]:
    """Return the images of the request, in order."""
    if request.mimetype != "multipart/form-data":
        return [_read_body()]
    files = request.files.getlist(FIELD)
    if not any(file.filename for file in files):  # a form with no file chosen sends an empty one
        found = ", ".join(map(repr, (*request.files, *request.form))) or "none"
        raise BadRequestError(f"There is no file in the field {FIELD!r}; the fields sent: {found}.")
    if len(files) > max_images:
        raise TooLargeError(
            f"There are {len(files)} files; at most {max_images} are accepted in one request."
        )
    uploads = []
    for file in files:
        name = file.filename or FIELD
        if file.mimetype.startswith("image/") and file.mimetype not in MIMETYPES:
            raise _unsupported(name, file.mimetype)
        uploads.append(Upload(file.filename, name, file.read()))
    return uploads


def _read_body() -> Upload:
    name = "The request's body"
    body = request.get_data(cache=False)
    if not body:
        raise BadRequestError(
            f"There is no picture: send one as the request's body, or as multipart/form-data in "
            f"the field {FIELD!r} (curl -F {FIELD}=@picture.png)."
        )
    if request.mimetype and request.mimetype not in MIMETYPES | {"application/octet-stream"}:
        raise _unsupported(name, request.mimetype)
    return Upload(None, name, body)


def _unsupported(name: str, mimetype: str) -> UnsupportedTypeError:
    return UnsupportedTypeError(
        f"{name} is declared as {mimetype}; send a {', '.join(FORMATS)} picture, declared as "
        "its type (image/png, say) or as multipart/form-data."
    )
