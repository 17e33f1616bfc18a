"""POST /predict: read the request, decode its images, classify them, respond."""

import numpy as np
from flask import Blueprint

from models.measurements import rounded
from serving.errors import ServingError
from serving.http.answers import (
    Answer,
    Familiarity,
    Prediction,
    Predictions,
    describe_image,
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
            outcomes = decode(uploads, resize=sent.resize)
            filenames = [upload.filename for upload in uploads]
            del uploads  # free megabytes while the models run
            images = {i: o.pixels for i, o in enumerate(outcomes) if isinstance(o, DecodedImage)}
            batch = np.stack([*images.values()]) if images else None  # all may be refused
            probabilities = [] if batch is None else service.classify(chosen, batch)
        rows = zip(*(of_model.tolist() for of_model in probabilities), strict=True)
        models = (
            [_answer(*each, sent) for each in zip(chosen, of_image, strict=True)]
            for of_image in rows
        )
        measured = service.familiarity if sent.details else None
        familiarity = familiarity_of(measured, chosen, probabilities)
        answers = dict(zip(images, zip(models, familiarity, strict=True), strict=True))
        return {
            "predictions": [
                {"filename": filename, "problem": problem_document(outcome)}
                if isinstance(outcome, ServingError)
                else _prediction(filename, outcome, *answers[place], sent.crop)
                for place, (filename, outcome) in enumerate(zip(filenames, outcomes, strict=True))
            ]
        }

    return blueprint


def _prediction(
    filename: str | None,
    image: DecodedImage,
    models: list[Answer],
    familiarity: Familiarity | None,
    crop: bool,
) -> Prediction:
    described = describe_image(image, filename)
    prediction: Prediction = {**described, "models": models}  # type: ignore[typeddict-item]
    if familiarity is not None:
        prediction["familiarity"] = familiarity
    if crop:
        prediction["crop"] = to_data_url(image.pixels)
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
        "precision": classifier.precision,
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
