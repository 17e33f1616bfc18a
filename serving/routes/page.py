"""The demo page and the API documentation."""

from flask import Blueprint, Response, current_app, redirect
from flask.typing import ResponseReturnValue
from flask_swagger_ui import get_swaggerui_blueprint

from serving import NAME
from serving.openapi import describe_api
from serving.service import Service

DOCS = "/docs"


def create_blueprint(service: Service) -> Blueprint:
    """Return the page and the documentation."""
    blueprint = Blueprint("page", __name__)
    # Every URL in the page and the documentation is relative, so that a proxy may serve them under
    # a path prefix.
    swagger_ui = get_swaggerui_blueprint(
        ".",
        "../openapi.json",
        {"app_name": NAME, "validatorUrl": None, "oauth2RedirectUrl": None},
    )
    blueprint.register_blueprint(swagger_ui, url_prefix=DOCS)
    api = describe_api(service.classifiers, service.settings)

    @blueprint.get("/")
    def page() -> Response:
        return current_app.send_static_file("index.html")

    @blueprint.get(DOCS, strict_slashes=True)
    def docs() -> ResponseReturnValue:
        return redirect("docs/")

    @blueprint.get("/openapi.json")
    def openapi() -> ResponseReturnValue:
        return api

    return blueprint
