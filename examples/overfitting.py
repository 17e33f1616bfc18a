# /// script
# dependencies = ["requests"]
# ///
"""Show overfitting with the running service: `uv run examples/overfitting.py`.

Each network was trained twice: by the article's recipe, and with regularization. The article's
version is much better on its training images than on new ones, and changes its answer when an image
moves. The drawn frog was chosen to show that (see docs/demonstration.py); on the ship, no network
changes its answer.
"""

import os
import sys

import requests

SERVICE = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
IMAGE = sys.argv[2] if len(sys.argv) > 2 else "serving/static/frog.png"
KEY = os.environ.get("API_KEY")  # if the service requires one
HEADERS = {"X-API-Key": KEY} if KEY else {}

print("model   recipe    training  validation     gap  answer      kept when the image changes")
response = requests.get(f"{SERVICE}/models", headers=HEADERS, timeout=10)
response.raise_for_status()
for record in response.json()["models"]:
    name, version = record["name"], record["version"]
    with open(IMAGE, "rb") as file:  # noqa: PTH123  # shorter
        response = requests.post(
            f"{SERVICE}/stability",
            params={"model": name, "version": version},
            files={"image": file},
            headers=HEADERS,
            timeout=10,
        )
    response.raise_for_status()
    [answer] = response.json()["models"]
    print(
        f"{name:7} {record['recipe']:9} {record['train_accuracy']:8.1%} "
        f"{record['validation_accuracy']:11.1%} {record['generalization_gap']:7.1%}  "
        f"{answer['class']:10} {answer['kept']:5.0%}"
    )
