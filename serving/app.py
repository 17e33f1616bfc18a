"""The WSGI application, wired: each request is decoded, classified and answered."""

from flask import Flask

from serving.batching import Batcher
from serving.buffering import buffer_bodies
from serving.classifier import load_classifiers
from serving.decoding import Decoders
from serving.errors import register_error_handlers
from serving.metrics import Metrics
from serving.routes import health, inference_protocol, models, page, predict
from serving.service import Service
from serving.settings import Settings
from serving.telemetry import observe, start_tracing


def create_app(settings: Settings | None = None) -> Flask:
    """Load the models and build the application around them.

    Raises:
        StartError: a model is missing or altered, or the provider does not work here.
    """
    settings = settings or Settings()
    classifiers = load_classifiers(settings)
    metrics = Metrics(classifiers)
    service = Service(
        settings=settings,
        classifiers=classifiers,
        decoders=Decoders(settings.decoders, settings.decoder_timeout),
        batcher=Batcher(metrics, settings),
        metrics=metrics,
    )
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of Flask's default JSON provider
    register_error_handlers(app, settings)
    observe(app, metrics)
    start_tracing(app)
    buffer_bodies(app, settings)
    for routes in (predict, models, inference_protocol, health, page):
        app.register_blueprint(routes.create_blueprint(service))
    return app
