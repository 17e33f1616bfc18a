"""POST /stability and /explanations: is a prediction stable, and what does it depend on?

Both run the models on many variants, which wait in the same queue as other images and count
individually.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from flask import Blueprint

from models.measurements import rounded
from serving.errors import BadRequestError
from serving.http.answers import (
    ChangedVariant,
    Image,
    ImageExplanation,
    ImageStability,
    ModelExplanation,
    ModelStability,
    TopClass,
    Variant,
    describe_image,
)
from serving.http.parameters import ImageParameters, StabilityParameters
from serving.http.uploads import P, read_uploads
from serving.images.decode import Upload
from serving.inference.classifier import Classifier
from serving.insights import occlusion as explanation
from serving.insights import stability
from serving.insights.thumbnails import to_data_url
from serving.service import Service

Images = npt.NDArray[np.uint8]
Probabilities = npt.NDArray[np.float32]
T = TypeVar("T")


@dataclass(frozen=True)
class Observation:
    """The models' probabilities for an image and for its variants."""

    image: Image
    changed: Images
    classifiers: list[Classifier]
    probabilities: list[Probabilities]  # [1 + N, classes] for each model, the image itself first

    def compare(
        self, compare: Callable[[Classifier, TopClass, Probabilities, Probabilities], T]
    ) -> list[T]:
        """Call `compare` with each model's probabilities, and return its results."""
        return [
            compare(classifier, _top_class(classifier, of_model[0]), of_model[0], of_model[1:])
            for classifier, of_model in zip(self.classifiers, self.probabilities, strict=True)
        ]


def create_blueprint(service: Service) -> Blueprint:
    """Return the routes that examine one image."""
    blueprint = Blueprint("insights", __name__)

    @blueprint.post("/stability")
    def stable() -> ImageStability:
        upload, sent = _read_one(service, StabilityParameters)
        seen = _look_closer(service, upload, sent, _vary)
        variants: list[Variant] = [{"name": name} for name in stability.NAMES]
        if sent.images:
            for variant, pixels in zip(variants, seen.changed, strict=True):
                variant["image"] = to_data_url(pixels)
        return {**seen.image, "models": seen.compare(_stability), "variants": variants}

    @blueprint.post("/explanations")
    def explain() -> ImageExplanation:
        upload, sent = _read_one(service, ImageParameters)
        seen = _look_closer(service, upload, sent, explanation.occlude)
        return {
            **seen.image,
            "models": seen.compare(_explanation),
            "patch": explanation.PATCH,
            "step": explanation.STEP,
        }

    return blueprint


def _read_one(service: Service, kind: type[P]) -> tuple[Upload, P]:
    uploads, sent = read_uploads(service.settings.max_images, kind)
    if len(uploads) > 1:
        raise BadRequestError(
            f"There are {len(uploads)} images; send one, since the models run on many variants."
        )
    return uploads[0], sent


def _look_closer(
    service: Service,
    upload: Upload,
    sent: ImageParameters,
    change: Callable[[Images], Images],
) -> Observation:
    """Classify an image and its variants."""
    chosen = service.classifiers.choose(sent.model, sent.version)
    with service.metrics.count_models(chosen):
        [image] = service.decode([upload], resize=sent.resize)
        changed = change(image.pixels)
        batch = np.concatenate([image.pixels[np.newaxis], changed])
        probabilities = service.classify(chosen, batch, count=False)  # most are variants
    return Observation(describe_image(image, upload.filename), changed, chosen, probabilities)


def _top_class(classifier: Classifier, probabilities: Probabilities) -> TopClass:
    return {
        "model": classifier.record.name,
        "version": classifier.record.version,
        "class": classifier.record.classes[probabilities.argmax()],
        "confidence": rounded(probabilities.max()),
    }


def _vary(image: Images) -> Images:
    return np.stack(list(stability.vary(image).values()))


def _stability(
    classifier: Classifier, top: TopClass, whole: Probabilities, varied: Probabilities
) -> ModelStability:
    classes = classifier.record.classes
    changed: list[ChangedVariant] = [
        {
            "variant": name,
            "class": classes[of_one.argmax()],
            "confidence": rounded(of_one.max()),
        }
        for name, of_one in zip(stability.NAMES, varied, strict=True)
        if of_one.argmax() != whole.argmax()
    ]
    return {**top, "kept": 1 - len(changed) / stability.COUNT, "changed": changed}


def _explanation(
    _: Classifier, top: TopClass, whole: Probabilities, occluded: Probabilities
) -> ModelExplanation:
    lost = explanation.sensitivity(whole, occluded)
    return {**top, "map": [[rounded(value) for value in row] for row in lost]}
