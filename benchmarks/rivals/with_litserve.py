"""LitServe, with batching; the image's bytes arrive through its typed (FastAPI) requests."""

import sys
from typing import Annotated, Any

import litserve
import numpy as np
import numpy.typing as npt
from fastapi import Body

from benchmarks.rivals.common import WORKERS, classify, decode, load


class Classifier(litserve.LitAPI):
    """LitServe stacks the arrays of `decode_request` and splits the list of `predict`."""

    def setup(self, device: str) -> None:
        """Load the models, in the worker."""
        self.sessions = load()

    def decode_request(self, request: Annotated[bytes, Body()]) -> npt.NDArray[np.uint8]:
        """Return the image's pixels."""
        return decode(request)

    def predict(self, x: npt.NDArray[np.uint8]) -> list[dict[str, Any]]:
        """Classify a batch."""
        return classify(self.sessions, x)


if __name__ == "__main__":
    api = Classifier(max_batch_size=16, batch_timeout=0.01)
    litserve.LitServer(api, accelerator="cpu", workers_per_device=WORKERS).run(
        host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False
    )
