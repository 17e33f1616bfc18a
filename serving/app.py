"""The WSGI application: each route is decode, classify, respond."""

from pathlib import Path
from typing import Any

import gevent
import numpy as np
from flask import Flask, Response, abort, g, request, send_file
from flask.typing import ResponseReturnValue
from flask_swagger_ui import get_swaggerui_blueprint
from gevent.event import Event
from gevent.threadpool import ThreadPool
from gevent.util import wrap_errors
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from werkzeug.exceptions import (
    HTTPException,
    MethodNotAllowed,
    NotFound,
    RequestEntityTooLarge,
    ServiceUnavailable,
    UnsupportedMediaType,
)

from models.record import CLASSES
from serving import NAME, inference_protocol
from serving.batching import MAX_IMAGES, Batcher, ModelError, OverloadedError
from serving.classifier import (
    Classifier,
    Precision,
    Provider,
    UnknownModelError,
    load_classifiers,
)
from serving.images import FORMATS, MAX_PIXELS, MIMETYPES, DecodedImage, decode
from serving.metrics import Metrics
from serving.openapi import describe_api
from serving.problems import problem_response
from serving.telemetry import observe, start_tracing

FIELD = "image"
MAX_BODY = 8 * 2**20  # bytes
# A picture of MAX_PIXELS takes some 300 MB while it is decoded, so few at a time.
DECODERS = 2  # threads
DECODER_WAIT = 10.0  # seconds
SMALL = 2**14  # bytes; a plain picture of 32 by 32 pixels has up to 4,000
# The page loads nothing from elsewhere and is shown in no other page.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

# Swagger UI brings a script, styles and pictures within its page.
DOCS_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
DOCS = "/docs"


def create_app(
    models_dir: Path,
    provider: Provider = "auto",
    precision: Precision = "float32",
    stopping: Event | None = None,
) -> Flask:
    """Load the models and build the application around them; it is not ready once `stopping`.

    Raises:
        StartError: a model is missing or altered, or the provider does not work here.
    """
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of Flask's default JSON provider
    app.register_error_handler(HTTPException, problem_response)
    app.register_error_handler(RequestEntityTooLarge, _too_large)
    app.register_error_handler(MethodNotAllowed, _method_not_allowed)
    app.register_error_handler(UnknownModelError, _unknown_model)
    app.register_error_handler(OverloadedError, _overloaded)
    app.register_error_handler(ModelError, _model_failed)
    app.after_request(_add_security_headers)
    classifiers = load_classifiers(models_dir, provider, precision)
    metrics = app.extensions["metrics"] = Metrics(classifiers)
    batcher = Batcher(metrics)
    decoders = ThreadPool(DECODERS)
    observe(app, metrics)
    start_tracing(app)
    app.register_blueprint(
        get_swaggerui_blueprint(DOCS, "/openapi.json", {"app_name": NAME, "validatorUrl": None})
    )

    def check_ready() -> None:
        # The models are loaded and warm before the server listens.
        if stopping and stopping.is_set():
            raise ServiceUnavailable("The service is stopping. Send requests to another one.")
        if failed := batcher.failed():
            raise ServiceUnavailable(f"These models fail: {', '.join(failed)}. The log says why.")

    app.register_blueprint(inference_protocol.create_blueprint(classifiers, batcher, check_ready))

    @app.get("/")
    def page() -> Response:
        return app.send_static_file("index.html")

    @app.post("/predict")
    def predict() -> ResponseReturnValue:
        names = dict.fromkeys(request.args.getlist("model")) or classifiers.names
        chosen = [classifiers.find(name, request.args.get("version")) for name in names]
        g.models = [classifier.record for classifier in chosen]
        top_k = _read_top_k()
        resize = _read_resize()
        with metrics.decode_seconds.time():
            uploads = _read_uploads(decoders, resize=resize)
        batch = np.stack([image.pixels for _, image in uploads])
        probabilities = batcher.classify(chosen, batch)
        return {
            "predictions": [
                {
                    "filename": filename,
                    "width": image.width,
                    "height": image.height,
                    "models": [
                        _answer(classifier, of_model[i], top_k)
                        for classifier, of_model in zip(chosen, probabilities, strict=True)
                    ],
                }
                for i, (filename, image) in enumerate(uploads)
            ]
        }

    @app.get("/models")
    def models() -> ResponseReturnValue:
        return {"models": [c.record.model_dump(mode="json") for c in classifiers]}

    @app.get("/models/<name>")
    def model(name: str) -> ResponseReturnValue:
        classifier = classifiers.find(name, request.args.get("version"))
        return classifier.record.model_dump(mode="json")

    @app.get("/models/<name>/curves.png")
    def curves(name: str) -> Response:
        return send_file(classifiers.find(name, request.args.get("version")).curves)

    @app.get("/health/live")
    def live() -> ResponseReturnValue:
        return {"status": "live"}

    @app.get("/health/ready")
    def ready() -> ResponseReturnValue:
        check_ready()
        return {"status": "ready"}

    api = describe_api(classifiers)

    @app.get("/openapi.json")
    def openapi() -> ResponseReturnValue:
        return api

    @app.get("/metrics")
    def prometheus() -> Response:
        return Response(generate_latest(metrics.registry), content_type=CONTENT_TYPE_LATEST)

    return app


def _add_security_headers(response: Response) -> Response:
    response.headers["X-Content-Type-Options"] = "nosniff"
    policy = (
        DOCS_SECURITY_POLICY if request.path.startswith(f"{DOCS}/") else CONTENT_SECURITY_POLICY
    )
    response.headers["Content-Security-Policy"] = policy
    return response


def _answer(classifier: Classifier, probabilities: np.ndarray, top_k: int | None) -> dict[str, Any]:
    best_first = np.argsort(-probabilities, kind="stable")
    shown = range(len(CLASSES)) if top_k is None else best_first[:top_k]
    best = best_first[0]
    return {
        "model": classifier.record.name,
        "version": classifier.record.version,
        "class": CLASSES[best],
        "confidence": _rounded(probabilities[best]),
        "probabilities": {CLASSES[i]: _rounded(probabilities[i]) for i in shown},
        "test_accuracy": classifier.record.test_accuracy,
    }


def _rounded(probability: np.float32) -> float:
    # Further digits differ from one processor to the next.
    return round(float(probability), 6)


def _read_resize() -> bool:
    value = request.args.get("resize", "false")
    if value not in {"true", "false"}:
        abort(400, f"resize is {value!r}; it is true or false.")
    return value == "true"


def _read_top_k() -> int | None:
    value = request.args.get("top_k")
    if value is None:
        return None
    if value not in map(str, range(1, len(CLASSES) + 1)):
        abort(400, f"top_k is {value!r}; it is a whole number from 1 to {len(CLASSES)}.")
    return int(value)


def _read_uploads(decoders: ThreadPool, *, resize: bool) -> list[tuple[str | None, DecodedImage]]:
    """Decode the pictures of the request, with their file names, in order."""
    if request.mimetype != "multipart/form-data":
        return [(None, _read_body(decoders, resize=resize))]
    files = request.files.getlist(FIELD)
    if not any(file.filename for file in files):  # a form with no file chosen sends an empty one
        found = ", ".join(map(repr, (*request.files, *request.form))) or "none"
        abort(400, f"There is no file in the field {FIELD!r}; the fields sent: {found}.")
    if len(files) > MAX_IMAGES:
        raise RequestEntityTooLarge(
            f"There are {len(files)} files; at most {MAX_IMAGES} are accepted in one request."
        )
    uploads = []
    pixels = 0
    for file in files:
        name = file.filename or FIELD
        if file.mimetype.startswith("image/") and file.mimetype not in MIMETYPES:
            raise _unsupported(name, file.mimetype)
        image = _decode(decoders, file.read(), name=name, resize=resize)
        uploads.append((file.filename, image))
        pixels += image.width * image.height
        if pixels > MAX_PIXELS:
            raise RequestEntityTooLarge(
                f"The pictures have more than {MAX_PIXELS:,} pixels together. "
                "Send fewer or smaller ones at a time."
            )
    return uploads


def _read_body(decoders: ThreadPool, *, resize: bool) -> DecodedImage:
    body = request.get_data(cache=False)
    if not body:
        abort(
            400,
            f"There is no picture: send one as the request's body, or as multipart/form-data in "
            f"the field {FIELD!r} (curl -F {FIELD}=@picture.png).",
        )
    if request.mimetype and request.mimetype not in MIMETYPES | {"application/octet-stream"}:
        raise _unsupported("The request's body", request.mimetype)
    return _decode(decoders, body, name="The request's body", resize=resize)


def _decode(decoders: ThreadPool, content: bytes, *, name: str, resize: bool) -> DecodedImage:
    """Decode a small picture at once, and another one in a thread, where it holds up nobody."""
    if len(content) <= SMALL and not resize:
        return decode(content, name=name, resize=resize)
    busy = ServiceUnavailable("Too many large pictures at once. Send it again.", retry_after=1)
    # So that gevent logs no refusal as its own error.
    decode_or_refuse = wrap_errors(HTTPException, decode)
    with gevent.Timeout(DECODER_WAIT, busy):  # until a thread is free
        task = decoders.spawn(decode_or_refuse, content, name=name, resize=resize)
    image: DecodedImage | HTTPException = task.get()
    if isinstance(image, HTTPException):
        raise image
    return image


def _too_large(error: RequestEntityTooLarge) -> Response:
    if error.description == RequestEntityTooLarge.description:  # Werkzeug's, which names no limit
        error.description = (
            f"The request is too large: at most {MAX_BODY // 2**20} MiB in at most {MAX_IMAGES} "
            "files are accepted. Send fewer or smaller pictures."
        )
    return problem_response(error)


def _method_not_allowed(error: MethodNotAllowed) -> Response:
    error.description = (
        f"{request.path} does not take {request.method}; "
        f"it takes {', '.join(sorted(error.valid_methods or ()))}."
    )
    return problem_response(error)


def _overloaded(_: OverloadedError) -> Response:
    return problem_response(
        ServiceUnavailable(
            "Too many pictures wait to be classified. Send this again in a second.", retry_after=1
        )
    )


def _model_failed(error: ModelError) -> Response:
    return problem_response(
        ServiceUnavailable(f"{error}. Other models may still answer: ask for one with ?model=.")
    )


def _unknown_model(error: UnknownModelError) -> Response:
    return problem_response(NotFound(str(error)))


def _unsupported(name: str, mimetype: str) -> UnsupportedMediaType:
    return UnsupportedMediaType(
        f"{name} is declared as {mimetype}; send a {', '.join(FORMATS)} picture, declared as "
        "its type (image/png, say) or as multipart/form-data."
    )
