"""POST /stability and /explanations: what an answer to one image is worth, and what it rests on.

Both run the models many times over. Those runs wait in the queue with all others and are counted
there one by one.
"""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import numpy.typing as npt
from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MultiDict

from models.record import CLASSES
from serving import explanation, stability
from serving.classifier import Classifier
from serving.decoding import Upload
from serving.errors import BadRequestError
from serving.parameters import Sent, boolean, check_names, single
from serving.service import Service
from serving.thumbnails import to_data_url
from serving.uploads import FIELD, no_image, read_uploads

PARAMETERS = ("model", "version", "resize")

Images = npt.NDArray[np.uint8]
Probabilities = npt.NDArray[np.float32]


def create_blueprint(service: Service) -> Blueprint:
    """Return the routes that look closer at one image."""
    blueprint = Blueprint("insights", __name__)

    @blueprint.post("/stability")
    def stable() -> ResponseReturnValue:
        upload, sent = _read_one(service, (*PARAMETERS, "images"))
        with_images = boolean(sent, "images")
        variants: dict[str, Images] = {}

        def vary(image: Images) -> Images:
            variants.update(stability.vary(image))
            return np.stack(list(variants.values()))

        answer = _look_closer(
            service,
            upload,
            sent,
            stability.COUNT,
            vary,
            lambda whole, varied: _stability(whole, varied, list(variants)),
        )
        answer["variants"] = [
            {"name": name} | ({"image": to_data_url(pixels)} if with_images else {})
            for name, pixels in variants.items()
        ]
        return answer

    @blueprint.post("/explanations")
    def explain() -> ResponseReturnValue:
        upload, sent = _read_one(service, PARAMETERS)
        answer = _look_closer(
            service,
            upload,
            sent,
            explanation.COUNT,
            explanation.occlude,
            lambda whole, occluded: {
                "map": [
                    [_rounded(lost) for lost in row]
                    for row in explanation.sensitivity(whole, occluded)
                ]
            },
        )
        return answer | {"patch": explanation.PATCH, "step": explanation.STEP}

    return blueprint


def _read_one(service: Service, parameters: Collection[str]) -> tuple[Upload, Sent]:
    uploads, fields = read_uploads(service.settings.max_images)
    sent = MultiDict([*request.args.items(multi=True), *fields.items(multi=True)])
    check_names(sent, parameters, also=f" The image is sent in the field {FIELD!r}.")
    if not uploads:
        raise no_image(fields)
    if len(uploads) > 1:
        raise BadRequestError(f"There are {len(uploads)} images; send one, since it is run often.")
    return uploads[0], sent


def _look_closer(
    service: Service,
    upload: Upload,
    sent: Sent,
    count: int,
    change: Callable[[Images], Images],
    compare: Callable[[Probabilities, Probabilities], dict[str, Any]],
) -> dict[str, Any]:
    """Classify an image and `count` changed ones, and compare them for each model."""
    names = dict.fromkeys(sent.getlist("model")) or service.classifiers.names
    version = single(sent, "version")
    chosen = [service.classifiers.find(name, version) for name in names]
    with service.metrics.count_models(chosen):
        resize = boolean(sent, "resize")
        with service.metrics.decode_seconds.time():
            service.batcher.check_room((1 + count) * len(chosen))  # before work is wasted
            [image] = service.decoders.decode([upload], resize=resize)
        batch = np.concatenate([image.pixels[np.newaxis], change(image.pixels)])
        probabilities = service.batcher.classify(chosen, batch)
    return {
        "filename": upload.filename,
        "width": image.width,
        "height": image.height,
        "models": [
            _answer(classifier, of_model[0]) | compare(of_model[0], of_model[1:])
            for classifier, of_model in zip(chosen, probabilities, strict=True)
        ],
    }


def _answer(classifier: Classifier, probabilities: Probabilities) -> dict[str, Any]:
    return {
        "model": classifier.record.name,
        "version": classifier.record.version,
        "class": CLASSES[probabilities.argmax()],
        "confidence": _rounded(probabilities.max()),
    }


def _stability(whole: Probabilities, varied: Probabilities, names: list[str]) -> dict[str, Any]:
    changed = [
        {"variant": name, "class": CLASSES[of_one.argmax()], "confidence": _rounded(of_one.max())}
        for name, of_one in zip(names, varied, strict=True)
        if of_one.argmax() != whole.argmax()
    ]
    return {"kept": 1 - len(changed) / len(names), "changed": changed}


def _rounded(probability: np.float32) -> float:
    # Further digits differ from one processor to the next.
    return round(float(probability), 6)
