"""What the alternatives share: settings, the models, decoding and the answer."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image

from models.bundle import INT8_MODEL_FILE, MODEL_FILE
from models.record import CLASSES, INPUT, OUTPUT
from serving.inference.classifier import session_options, usable_threads

MODELS = Path(__file__).parents[2] / "models"
NAMES = ("first", "second", "final")

# The server as its quick start leaves it, or with the settings that its documentation recommends:
# batches, and a worker for each core, with its share of the threads.
WORKERS = int(os.environ.get("WORKERS", "0"))
TUNED = WORKERS > 0
MAX_BATCH = 16
BATCH_SECONDS = 0.01  # to wait for a full one

Sessions = dict[str, onnxruntime.InferenceSession]


def load() -> Sessions:
    """Load version 1 of each model, with the service's options: the default is slower for all."""
    file = {"float32": MODEL_FILE, "int8": INT8_MODEL_FILE}[os.environ["SERVING_PRECISION"]]
    options = session_options(usable_threads(WORKERS or 1))
    return {
        name: onnxruntime.InferenceSession(MODELS / name / "1" / file, options) for name in NAMES
    }


def decode(image: bytes) -> npt.NDArray[np.uint8]:
    """Return a file's pixels, uint8 [32, 32, 3] RGB."""
    return pixels(Image.open(io.BytesIO(image)))


def pixels(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Return an image's pixels, uint8 [32, 32, 3] RGB."""
    return np.asarray(image.convert("RGB"))


def classify(sessions: Sessions, images: npt.NDArray[np.uint8]) -> list[dict[str, Any]]:
    """Return every model's class and ten probabilities for each of the images [N, 32, 32, 3]."""
    outputs = {
        name: session.run([OUTPUT], {INPUT: images})[0] for name, session in sessions.items()
    }
    return [
        {
            name: {"class": CLASSES[output[i].argmax()], "probabilities": output[i].tolist()}
            for name, output in outputs.items()
        }
        for i in range(len(images))
    ]
