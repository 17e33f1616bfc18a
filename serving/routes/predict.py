"""POST /predict: read the request, decode its images, classify them, respond."""

import numpy as np
from flask import Blueprint

from models.record import CLASSES
from serving.errors import ServingError
from serving.http.answers import Answer, Familiarity, Prediction, Predictions, rounded
from serving.http.parameters import boolean, fraction, single, whole_number
from serving.http.problems import problem_document
from serving.http.uploads import read_uploads
from serving.images.decode import DecodedImage
from serving.inference.classifier import Classifier
from serving.insights.familiarity import familiarity_of
from serving.insights.reliability import worth
from serving.insights.thumbnails import to_data_url
from serving.service import Service

PARAMETERS = (
    "model",
    "version",
    "top_k",
    "min_confidence",
    "resize",
    "partial",
    "details",
    "crop",
)


def create_blueprint(service: Service) -> Blueprint:
    """Return the route that classifies images."""
    blueprint = Blueprint("predict", __name__)
    classifiers, metrics = service.classifiers, service.metrics

    @blueprint.post("/predict")
    def predict() -> Predictions:
        uploads, sent = read_uploads(service.settings.max_images, PARAMETERS)
        chosen = classifiers.choose(sent.getlist("model"), single(sent, "version"))
        with metrics.count_models(chosen):
            top_k = whole_number(sent, "top_k", most=len(CLASSES))
            least = fraction(sent, "min_confidence") or 0.0
            details, crop = boolean(sent, "details"), boolean(sent, "crop")
            resize, partial = boolean(sent, "resize"), boolean(sent, "partial")
            decode = service.decode_each if partial else service.decode
            outcomes = decode(uploads, len(uploads) * len(chosen), resize=resize)
            filenames = [upload.filename for upload in uploads]
            del uploads  # megabytes, which need not wait for the models
            images = {i: o.pixels for i, o in enumerate(outcomes) if isinstance(o, DecodedImage)}
            batch = np.stack([*images.values()]) if images else None  # all may be refused
            probabilities = [] if batch is None else service.classify(chosen, batch)
        rows = zip(*(of_model.tolist() for of_model in probabilities), strict=True)
        models = (
            [_answer(*each, top_k, least, details) for each in zip(chosen, of_image, strict=True)]
            for of_image in rows
        )
        measured = service.familiarity if details else None
        familiarity = familiarity_of(measured, chosen, probabilities)
        answers = dict(zip(images, zip(models, familiarity, strict=True), strict=True))
        return {
            "predictions": [
                {"filename": filename, "problem": problem_document(outcome)}
                if isinstance(outcome, ServingError)
                else _prediction(filename, outcome, *answers[place], crop)
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
    prediction: Prediction = {
        "filename": filename,
        "width": image.width,
        "height": image.height,
        "models": models,
    }
    if familiarity is not None:
        prediction["familiarity"] = familiarity
    if crop:
        prediction["crop"] = to_data_url(image.pixels)
    return prediction


def _answer(
    classifier: Classifier,
    probabilities: list[float],
    top_k: int | None,
    least: float,
    details: bool,
) -> Answer:
    best_first = sorted(range(len(CLASSES)), key=probabilities.__getitem__, reverse=True)
    shown = range(len(CLASSES)) if top_k is None else best_first[:top_k]
    best = best_first[0]
    confidence = rounded(probabilities[best])
    answer: Answer = {
        "model": classifier.record.name,
        "version": classifier.record.version,
        "class": CLASSES[best],
        "confidence": confidence,
        "probabilities": {CLASSES[i]: rounded(probabilities[i]) for i in shown},
    }
    if (accuracy := classifier.record.test_accuracy) is not None:
        answer["test_accuracy"] = accuracy
    if confidence < least:
        answer["class"] = None
        answer["best_guess"] = CLASSES[best]
    if details and accuracy is not None:
        answer["details"] = worth(classifier.record, best, confidence)
    return answer
