"""The models behind a Flask view and Flask's own server, a thread for each connection."""

import sys
from typing import Any

import numpy as np
from flask import Flask, request

from benchmarks.rivals.common import classify, decode, load

app = Flask(__name__)
sessions = load()


@app.post("/predict")
def predict() -> dict[str, Any]:
    """Classify an image."""
    [answer] = classify(sessions, decode(request.data)[np.newaxis])
    return answer


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]), threaded=True)
