"""MLServer, batching adaptively as model-settings.json beside this tells it to.

Its batches are made of requests in the Open Inference Protocol, so the image comes in base64.
"""

import numpy as np
from mlserver import MLModel
from mlserver.codecs import Base64Codec, NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.rivals.common import NAMES, classify, decode, load


class Classifier(MLModel):
    """An inference runtime of one's own."""

    async def load(self) -> bool:
        """Load the models, in the worker."""
        self.sessions = load()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer a batch, which MLServer gives as one request and splits the response of."""
        images = self.decode(payload.inputs[0], default_codec=Base64Codec)
        answers = classify(self.sessions, np.stack([decode(image) for image in images]))
        outputs = []
        for name in NAMES:
            classes = [answer[name]["class"] for answer in answers]
            probabilities = np.array([answer[name]["probabilities"] for answer in answers])
            outputs.append(StringCodec.encode_output(f"{name}_class", classes))
            outputs.append(NumpyCodec.encode_output(f"{name}_probabilities", probabilities))
        return InferenceResponse(model_name=self.name, outputs=outputs)
