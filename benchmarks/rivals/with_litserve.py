"""LitServe; the image's bytes arrive through its typed (FastAPI) requests."""

import sys
from typing import Annotated, Any

import litserve
import numpy as np
import numpy.typing as npt
from fastapi import Body

from benchmarks.rivals.common import (
    BATCH_SECONDS,
    MAX_BATCH,
    TUNED,
    WORKERS,
    classify,
    decode,
    load,
)


class Classifier(litserve.LitAPI):
    """In batches, LitServe stacks the arrays of `decode_request` and splits `predict`'s list."""

    def setup(self, device: str) -> None:
        """Load the models, in the worker."""
        self.sessions = load()

    def decode_request(self, request: Annotated[bytes, Body()]) -> npt.NDArray[np.uint8]:
        """Return the image's pixels."""
        return decode(request)

    def predict(self, x: npt.NDArray[np.uint8]) -> dict[str, Any] | list[dict[str, Any]]:
        """Classify an image, or a batch."""
        return classify(self.sessions, x) if TUNED else classify(self.sessions, x[np.newaxis])[0]


if __name__ == "__main__":
    batches = {"max_batch_size": MAX_BATCH, "batch_timeout": BATCH_SECONDS} if TUNED else {}
    # For more than 100 requests/s, its documentation recommends the fast queue. By default, there
    # are as many HTTP servers as workers.
    many = {"workers_per_device": WORKERS, "fast_queue": True} if TUNED else {}
    litserve.LitServer(Classifier(**batches), accelerator="cpu", **many).run(
        host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False
    )
