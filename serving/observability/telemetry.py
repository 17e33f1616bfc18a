"""A request's ID, its log line, its counters and, if configured, its trace."""

import logging
import os
import time
from importlib.util import find_spec
from urllib.parse import quote

from flask import Flask, Response

from serving import NAME
from serving.errors import StartError
from serving.http.intake import REQUEST_ID, current_request
from serving.inference.batching import Batcher
from serving.observability.metrics import Metrics

METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST"})

# Defaults for unset variables: Prometheus has the metrics, and gRPC would block gevent's loop.
_TRACING = {
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "2",  # seconds, with all retries; the exit waits for the last
}

logger = logging.getLogger(__name__)


def observe(app: Flask, metrics: Metrics, batcher: Batcher) -> None:
    """Log and count every request that reaches the application, and send its ID back."""

    @app.before_request
    def begin() -> None:
        batcher.requests += 1
        metrics.in_flight.inc()

    @app.after_request
    def end(response: Response) -> Response:
        request = current_request()
        seconds = time.perf_counter() - request.started
        route = request.url_rule.rule if request.url_rule else "none"
        batcher.requests -= 1
        metrics.in_flight.dec()
        # Clients may invent methods, and each would be a new series forever.
        method = request.method if request.method in METHODS else "other"
        metrics.requests(method, route, response.status_code).inc()
        metrics.seconds(route).observe(seconds)
        response.headers[REQUEST_ID] = request.id
        logger.info(
            "%s %s %d",
            method,
            quote(request.path),  # so that it cannot forge a log line
            response.status_code,
            extra={
                "method": request.method,
                "path": request.path,
                "route": route,
                "status": response.status_code,
                "milliseconds": round(1000 * seconds, 2),
                "client": request.remote_addr,
            },
        )
        return response


def start_tracing(app: Flask) -> None:
    """Send OpenTelemetry traces if its standard variables are set.

    Raises:
        StartError: they are invalid, or need a package that is not installed.
    """
    variables = (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_TRACES_EXPORTER",
    )
    named = next((name for name in variables if os.environ.get(name)), None)
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if named is None or off or os.environ.get("OTEL_TRACES_EXPORTER") == "none":
        return
    if find_spec("opentelemetry") is None:
        raise StartError(
            f"{named} is set, but OpenTelemetry is not installed; run with the group `otel` "
            "(uv run --group otel python -m serving) or unset it"
        )
    # Imported here because few need them.
    from opentelemetry.distro import OpenTelemetryConfigurator  # noqa: PLC0415
    from opentelemetry.instrumentation.flask import FlaskInstrumentor  # noqa: PLC0415

    for name, default in _TRACING.items():
        os.environ.setdefault(name, default)
    if "service.name=" not in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        os.environ.setdefault("OTEL_SERVICE_NAME", NAME)
    try:
        OpenTelemetryConfigurator().configure()
    except (RuntimeError, ValueError) as error:
        raise StartError(f"cannot start tracing as the OTEL_ variables say: {error}") from error
    FlaskInstrumentor().instrument_app(app)
