"""A fixed answer to each image: the upper limit of Flask and its server."""

from flask import Flask, Response, request

ANSWER = b'{"predictions": []}'

app = Flask(__name__)


@app.get("/health/live")
def live() -> str:
    """Answer the probe."""
    return "live"


@app.post("/predict")
def predict() -> Response:
    """Read the image and answer."""
    request.get_data()
    return Response(ANSWER, mimetype="application/json")
