# /// script
# dependencies = ["requests"]
# ///
"""Classify images with the service: `uv run examples/client.py serving/static/ship.png`."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import requests

SERVICE = os.environ.get("SERVICE", "http://127.0.0.1:8000")
KEY = os.environ.get("API_KEY")  # if the service requires one
TRIES = 5


def classify(paths: list[Path]) -> list[dict[str, Any]]:
    """Return each image's prediction or problem, in order."""
    files = [("image", (path.name, path.read_bytes())) for path in paths]
    for _ in range(TRIES):
        response = requests.post(
            f"{SERVICE}/predict",
            params={"partial": "true", "top_k": "3"},
            files=files,
            headers={"X-API-Key": KEY} if KEY else {},
            timeout=30,
        )
        if response.status_code != requests.codes.unavailable:
            break
        time.sleep(float(response.headers.get("Retry-After", 1)))  # the queue is full
    if not response.ok:
        sys.exit(response.json()["detail"])
    return list(response.json()["predictions"])


for prediction in classify([Path(path) for path in sys.argv[1:]]):
    if "problem" in prediction:
        print(f"{prediction['filename']}: {prediction['problem']['detail']}")
        continue
    for model in prediction["models"]:
        print(
            f"{prediction['filename']}: {model['class']} ({model['confidence']:.1%}) by "
            f"{model['model']} (test accuracy {model['test_accuracy']:.1%})"
        )
