"""Health probes and Prometheus metrics."""

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue
from prometheus_client import CONTENT_TYPE_LATEST

from serving.service import Service


def create_blueprint(service: Service) -> Blueprint:
    """Return the routes that orchestrators and monitoring call."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/health/live")
    def live() -> ResponseReturnValue:
        return {"status": "live"}

    @blueprint.get("/health/ready")
    def ready() -> ResponseReturnValue:
        service.check_ready()
        return {"status": "ready"}

    @blueprint.get("/metrics")
    def metrics() -> Response:
        return Response(service.metrics.exposition(), content_type=CONTENT_TYPE_LATEST)

    return blueprint
