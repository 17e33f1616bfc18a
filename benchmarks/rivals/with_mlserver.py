"""MLServer; model-settings.json beside this file names the class below.

It batches Open Inference Protocol requests, so the image is sent in base64.
"""

import numpy as np
from mlserver import MLModel
from mlserver.codecs import Base64Codec, NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.rivals.common import NAMES, classify, decode, load


class Classifier(MLModel):
    """A custom inference runtime."""

    async def load(self) -> bool:
        """Load the models, in the worker."""
        self.sessions = load()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Classify a batch: MLServer passes it as one request and splits the response."""
        images = self.decode(payload.inputs[0], default_codec=Base64Codec)
        answers = classify(self.sessions, np.stack([decode(image) for image in images]))
        outputs = []
        for name in NAMES:
            classes = [answer[name]["class"] for answer in answers]
            probabilities = np.array([answer[name]["probabilities"] for answer in answers])
            outputs.append(StringCodec.encode_output(f"{name}_class", classes))
            outputs.append(NumpyCodec.encode_output(f"{name}_probabilities", probabilities))
        return InferenceResponse(model_name=self.name, outputs=outputs)
