"""The response to an inference request: JSON, with the probabilities in it or after it."""

import json
from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt

from models.record import OUTPUT
from serving.inference.classifier import Classifier
from serving.protocol import elements
from serving.protocol.requests import InferenceRequest, OutputForm
from serving.protocol.responses import InferenceResponse, OutputTensor


def write_answer(
    classifier: Classifier,
    asked: InferenceRequest,
    form: OutputForm,
    probabilities: npt.NDArray[np.float32],
) -> tuple[bytes, bytes | None]:
    """Return a response's JSON for probabilities [N, classes], and its binary data, if any."""
    content: bytes | list[str] | list[float]
    if form.classes:
        texts = list(_classifications(probabilities, classifier.record.classes, form.classes))
        tensor = _tensor("BYTES", len(probabilities), form.classes)
        content = elements.pack(text.encode() for text in texts) if form.binary else texts
    else:
        tensor = _tensor("FP32", *probabilities.shape)
        flat = probabilities.ravel()
        content = flat.astype("<f4").tobytes() if form.binary else flat.tolist()
    answer: InferenceResponse = {
        "model_name": classifier.record.name,
        "model_version": str(classifier.record.version),
        "outputs": [tensor],
    }
    if asked.id is not None:
        answer["id"] = asked.id
    if not isinstance(content, bytes):
        tensor["data"] = content
        return json.dumps(answer).encode(), None
    tensor["parameters"] = {"binary_data_size": len(content)}
    return json.dumps(answer).encode(), content


def _tensor(datatype: Literal["FP32", "BYTES"], *shape: int) -> OutputTensor:
    return {"name": OUTPUT, "datatype": datatype, "shape": list(shape)}


def _classifications(
    probabilities: npt.NDArray[np.float32], classes: list[str], count: int
) -> Iterator[str]:
    """Yield each image's most likely classes as value:index:label, best first."""
    best_first = np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
    for of_image, places in zip(probabilities.tolist(), best_first.tolist(), strict=True):
        for place in places:
            yield f"{of_image[place]:f}:{place}:{classes[place]}"
