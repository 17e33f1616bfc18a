"""The accuracy of similar predictions on the model's test set."""

import math

from models.measurements import rounded
from models.record import Record
from serving.http.answers import Worth

_FEWEST = 30  # minimum images for a share; its standard error is then below 10 points


def worth(record: Record, best: int, confidence: float) -> Worth:
    """Look up a prediction, a class index and its probability, in a measured model's record."""
    column = [row[best] for row in record.confusion_matrix]
    answered = sum(column)
    others = sorted((i for i in range(len(column)) if i != best), key=lambda i: -column[i])
    return {
        "accuracy_at_confidence": _reliability(record, confidence),
        "precision": (rounded(column[best] / answered) if answered >= _FEWEST else None),
        "top_confusions": [
            {"true_class": record.classes[i], "share": rounded(column[i] / answered)}
            for i in others[:2]
            if column[i] and answered >= _FEWEST
        ],
    }


def _reliability(record: Record, confidence: float) -> float | None:
    if record.calibration is None:
        return None
    bins = record.calibration.reliability
    found = bins[max(math.ceil(confidence * len(bins)) - 1, 0)]  # bins include their upper bound
    return None if found.accuracy is None or found.count < _FEWEST else rounded(found.accuracy)
