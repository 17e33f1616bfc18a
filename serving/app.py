"""The WSGI application, wired up: each request is decoded, classified and answered."""

from flask import Flask

from serving.http.answers import OrjsonProvider
from serving.http.headers import allow_origins, compress_answers, isolate_pages, trust_proxies
from serving.http.intake import take_requests_in
from serving.http.problems import register_error_handlers
from serving.images.pool import Decoders
from serving.inference.batching import Batcher, check_gunicorn
from serving.inference.registry import load_classifiers
from serving.insights.familiarity import load_familiarity
from serving.observability.metrics import Metrics
from serving.observability.shared_metrics import SharedMetrics
from serving.observability.telemetry import observe, start_tracing
from serving.routes import health, inference_protocol, insights, models, page, predict, study
from serving.service import Service
from serving.settings import Settings

HELD_REQUESTS = 4  # of maximum size, whose images a worker may hold for its decoders


def create_app(
    settings: Settings | None = None,
    batcher: type[Batcher] = Batcher,
    shared_metrics: SharedMetrics | None = None,
) -> Flask:
    """Load the models and build the application around them; `batcher` runs them for requests.

    Workers that get the same `shared_metrics` count together.

    Raises:
        StartError: a model is missing or altered, another file in its folder is damaged, the
            provider does not work here, or a package that the OTEL_ variables need is missing.
        AppImportError, RuntimeError: gunicorn was started with options that the service rejects.
    """
    if batcher.needs_gevent:
        check_gunicorn()
    settings = settings or Settings()
    classifiers = load_classifiers(settings)
    metrics = Metrics(classifiers, shared_metrics)
    service = Service(
        settings=settings,
        classifiers=classifiers,
        decoders=Decoders(
            settings.decoders,
            max_pixels=settings.max_pixels,
            max_held=HELD_REQUESTS * settings.max_body,
            wait=settings.decoder_timeout,
            work=settings.decode_timeout,
        ),
        batcher=batcher(metrics, settings),
        metrics=metrics,
        familiarity=load_familiarity(settings.models_dir),
    )
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body
    app.json = OrjsonProvider(app)
    # Accept a trailing slash, but no double slash within a path: werkzeug's redirect would drop a
    # proxy's path prefix.
    app.url_map.strict_slashes = app.url_map.merge_slashes = False
    register_error_handlers(app)
    start_tracing(app)
    trust_proxies(app, settings)
    # Requests pass through these in order, responses in reverse: refusals are counted, and
    # compressed responses get security headers.
    observe(app, metrics, service.batcher)
    allow_origins(app, settings)
    take_requests_in(app, settings)
    compress_answers(app)
    isolate_pages(app, page.DOCS)
    for routes in (predict, insights, models, study, inference_protocol, health, page):
        app.register_blueprint(routes.create_blueprint(service))
    return app
