"""A request's id, its log line, its counters and, where it is set up, its trace."""

import logging
import os
import re
import time
import uuid
from importlib.util import find_spec
from urllib.parse import quote

from flask import Flask, Response, g, request

from serving import NAME
from serving.errors import StartError
from serving.metrics import Metrics

REQUEST_ID = "X-Request-ID"
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST"})
_ACCEPTED_ID = re.compile(r"[\x21-\x7e]{1,128}")  # nothing that could forge a log line

logger = logging.getLogger(__name__)


def observe(app: Flask, metrics: Metrics) -> None:
    """Give every request that reaches the application an id, a log line and its counts."""

    @app.before_request
    def begin() -> None:
        g.started = time.perf_counter()
        sent = request.headers.get(REQUEST_ID, "")
        g.request_id = sent if _ACCEPTED_ID.fullmatch(sent) else str(uuid.uuid4())
        metrics.in_flight.inc()

    @app.after_request
    def end(response: Response) -> Response:
        seconds = time.perf_counter() - g.started
        route = request.url_rule.rule if request.url_rule else "none"
        metrics.in_flight.dec()
        # A client may invent methods, and each would be a series for ever.
        method = request.method if request.method in METHODS else "other"
        metrics.requests(method, route, response.status_code).inc()
        metrics.seconds(route).observe(seconds)
        response.headers[REQUEST_ID] = g.request_id
        logger.info(
            "%s %s %d",
            method,
            quote(request.path),  # nothing that could forge a log line here either
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
    """Send OpenTelemetry traces where its usual variables say so; without them do nothing.

    Raises:
        StartError: they do, and the packages are not there.
    """
    variables = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    named = next((name for name in variables if os.environ.get(name)), None)
    if named is None or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    if find_spec("opentelemetry") is None:
        raise StartError(
            f"{named} is set, but OpenTelemetry is not installed; run with the group `otel` "
            "(uv run --group otel python -m serving) or unset it"
        )
    # Imported here because few need them.
    from opentelemetry import trace  # noqa: PLC0415
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.instrumentation.flask import FlaskInstrumentor  # noqa: PLC0415
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before this name.
    resource = Resource({SERVICE_NAME: NAME}).merge(Resource.create())
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    FlaskInstrumentor().instrument_app(app, tracer_provider=provider)
