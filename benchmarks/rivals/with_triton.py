"""Triton Inference Server, through PyTriton: it calls Python functions with its batches.

It takes Open Inference Protocol requests, so the image is sent in base64.
"""

import base64
import sys

import numpy as np
import numpy.typing as npt
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from benchmarks.rivals.common import MAX_BATCH, NAMES, TUNED, WORKERS, classify, decode, load
from models.record import CLASSES


class Classifier:
    """An instance of the models; Triton runs several at once."""

    def __init__(self) -> None:
        self.sessions = load()

    @batch
    def infer(self, image: npt.NDArray[np.bytes_]) -> dict[str, npt.NDArray[np.generic]]:
        """Classify a batch."""
        images = np.stack([decode(base64.b64decode(encoded)) for [encoded] in image])
        answers = classify(self.sessions, images)
        outputs: dict[str, npt.NDArray[np.generic]] = {}
        for name in NAMES:
            classes = [[answer[name]["class"].encode()] for answer in answers]
            outputs[f"{name}_class"] = np.array(classes)
            probabilities = [answer[name]["probabilities"] for answer in answers]
            outputs[f"{name}_probabilities"] = np.array(probabilities, dtype=np.float32)
        return outputs


if __name__ == "__main__":
    http = TritonConfig(
        http_address="127.0.0.1",
        http_port=int(sys.argv[1]),
        allow_grpc=False,
        allow_metrics=False,
    )
    with Triton(config=http) as triton:
        triton.bind(
            "classifier",
            [Classifier().infer for _ in range(WORKERS or 1)],
            inputs=[Tensor(name="image", dtype=bytes, shape=(1,))],
            outputs=[
                output
                for name in NAMES
                for output in (
                    Tensor(name=f"{name}_class", dtype=bytes, shape=(1,)),
                    Tensor(name=f"{name}_probabilities", dtype=np.float32, shape=(len(CLASSES),)),
                )
            ],
            config=ModelConfig(max_batch_size=MAX_BATCH) if TUNED else ModelConfig(),
        )
        triton.serve()
