"""POST /stability and /explanations: what an answer to one image is worth, and what it rests on.

Both run the models many times over. Those runs wait in the queue with all others and are counted
there one by one.
"""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import numpy.typing as npt
from flask import Blueprint
from flask.typing import ResponseReturnValue

from models.record import CLASSES
from serving import explanation, stability
from serving.classifier import Classifier
from serving.decoding import Upload
from serving.errors import BadRequestError
from serving.parameters import Sent, boolean, single
from serving.responses import rounded
from serving.service import Service
from serving.thumbnails import to_data_url
from serving.uploads import read_uploads

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
        answer, variants = _look_closer(service, upload, sent, stability.COUNT, _vary, _stability)
        answer["variants"] = [
            {"name": name} | ({"image": to_data_url(pixels)} if with_images else {})
            for name, pixels in zip(stability.NAMES, variants, strict=True)
        ]
        return answer

    @blueprint.post("/explanations")
    def explain() -> ResponseReturnValue:
        upload, sent = _read_one(service, PARAMETERS)
        answer, _ = _look_closer(
            service, upload, sent, explanation.COUNT, explanation.occlude, _explanation
        )
        return answer | {"patch": explanation.PATCH, "step": explanation.STEP}

    return blueprint


def _read_one(service: Service, parameters: Collection[str]) -> tuple[Upload, Sent]:
    uploads, sent = read_uploads(service.settings.max_images, parameters)
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
) -> tuple[dict[str, Any], Images]:
    """Classify an image and `count` changed ones, and compare them for each model.

    Returns the answer, and the changed images.
    """
    chosen = service.classifiers.choose(sent.getlist("model"), single(sent, "version"))
    with service.metrics.count_models(chosen):
        resize = boolean(sent, "resize")
        with service.metrics.decode_seconds.time():
            service.batcher.check_room((1 + count) * len(chosen))  # before work is wasted
            [image] = service.decoders.decode([upload], resize=resize)
        changed = change(image.pixels)
        batch = np.concatenate([image.pixels[np.newaxis], changed])
        probabilities = service.batcher.classify(chosen, batch)
    answer = {
        "filename": upload.filename,
        "width": image.width,
        "height": image.height,
        "models": [
            _answer(classifier, of_model[0]) | compare(of_model[0], of_model[1:])
            for classifier, of_model in zip(chosen, probabilities, strict=True)
        ],
    }
    return answer, changed


def _answer(classifier: Classifier, probabilities: Probabilities) -> dict[str, Any]:
    return {
        "model": classifier.record.name,
        "version": classifier.record.version,
        "class": CLASSES[probabilities.argmax()],
        "confidence": rounded(probabilities.max()),
    }


def _vary(image: Images) -> Images:
    return np.stack(list(stability.vary(image).values()))


def _stability(whole: Probabilities, varied: Probabilities) -> dict[str, Any]:
    changed = [
        {"variant": name, "class": CLASSES[of_one.argmax()], "confidence": rounded(of_one.max())}
        for name, of_one in zip(stability.NAMES, varied, strict=True)
        if of_one.argmax() != whole.argmax()
    ]
    return {"kept": 1 - len(changed) / stability.COUNT, "changed": changed}


def _explanation(whole: Probabilities, occluded: Probabilities) -> dict[str, Any]:
    lost = explanation.sensitivity(whole, occluded)
    return {"map": [[rounded(value) for value in row] for row in lost]}
