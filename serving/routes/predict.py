"""POST /predict: read the request, decode its images, classify them, respond."""

from collections.abc import Iterator

import numpy as np
from flask import Blueprint

from serving.errors import ServingError
from serving.http.answers import (
    Answer,
    Familiarity,
    Prediction,
    Predictions,
    Refusal,
    describe_image,
    rounded,
)
from serving.http.parameters import PredictParameters
from serving.http.problems import problem_document
from serving.http.uploads import read_uploads
from serving.images.decode import DecodedImage
from serving.inference.classifier import Classifier
from serving.insights.familiarity import familiarity_of
from serving.insights.reliability import worth
from serving.insights.thumbnails import to_data_url
from serving.service import Service

# Every model's answer, and the image's familiarity if it was requested.
Answers = tuple[list[Answer], Familiarity | None]


def create_blueprint(service: Service) -> Blueprint:
    """Return the route that classifies images."""
    blueprint = Blueprint("predict", __name__)
    classifiers, metrics = service.classifiers, service.metrics

    @blueprint.post("/predict")
    def predict() -> Predictions:
        uploads, sent = read_uploads(service.settings.max_images, PredictParameters)
        chosen = classifiers.choose(sent.model, sent.version)
        with metrics.count_models(chosen):
            decode = service.decode_each if sent.partial else service.decode
            outcomes = decode(uploads, len(uploads) * len(chosen), resize=sent.resize)
            filenames = [upload.filename for upload in uploads]
            del uploads  # megabytes, which need not wait for the models
            images = [outcome for outcome in outcomes if isinstance(outcome, DecodedImage)]
            answers = _classify(service, chosen, images, sent)
        return {
            "predictions": [
                _prediction(filename, outcome, answers, sent.crop)
                for filename, outcome in zip(filenames, outcomes, strict=True)
            ]
        }

    return blueprint


def _classify(
    service: Service,
    chosen: list[Classifier],
    images: list[DecodedImage],
    sent: PredictParameters,
) -> Iterator[Answers]:
    """Return every model's answer to each image."""
    if not images:  # all were refused
        return iter(())
    batch = np.stack([image.pixels for image in images])
    probabilities = service.classify(chosen, batch)
    service.metrics.count_predictions(chosen, probabilities)
    measured = service.familiarity if sent.details else None
    familiarity = familiarity_of(measured, chosen, probabilities)
    rows = [of_model.tolist() for of_model in probabilities]
    answers = (
        [
            _answer(classifier, of_model[i], sent)
            for classifier, of_model in zip(chosen, rows, strict=True)
        ]
        for i in range(len(images))
    )
    return zip(answers, familiarity, strict=True)


def _prediction(
    filename: str | None,
    outcome: DecodedImage | ServingError,
    answers: Iterator[Answers],
    crop: bool,
) -> Prediction | Refusal:
    if isinstance(outcome, ServingError):
        return {"filename": filename, "problem": problem_document(outcome)}
    models, familiarity = next(answers)
    image = describe_image(outcome, filename)
    prediction: Prediction = {**image, "models": models}  # type: ignore[typeddict-item]
    if familiarity is not None:
        prediction["familiarity"] = familiarity
    if crop:
        prediction["crop"] = to_data_url(outcome.pixels)
    return prediction


def _answer(classifier: Classifier, probabilities: list[float], sent: PredictParameters) -> Answer:
    classes = classifier.record.classes
    best_first = sorted(range(len(classes)), key=probabilities.__getitem__, reverse=True)
    shown = range(len(classes)) if sent.top_k is None else best_first[: sent.top_k]
    best = best_first[0]
    confidence = rounded(probabilities[best])
    answer: Answer = {
        "model": classifier.record.name,
        "version": classifier.record.version,
        "class": classes[best],
        "confidence": confidence,
        "probabilities": {classes[i]: rounded(probabilities[i]) for i in shown},
    }
    if (accuracy := classifier.record.test_accuracy) is not None:
        answer["test_accuracy"] = accuracy
    if confidence < sent.min_confidence:
        answer["class"] = None
        answer["best_guess"] = classes[best]
    if sent.details and accuracy is not None:
        answer["details"] = worth(classifier.record, best, confidence)
    return answer
