"""The page to try the service with, and the API's documentation."""

from flask import Blueprint, Response, current_app, redirect, request
from flask.typing import ResponseReturnValue
from flask_swagger_ui import get_swaggerui_blueprint

from serving import NAME
from serving.openapi import describe_api
from serving.service import Service

DOCS = "/docs"
# The page loads nothing from elsewhere and cannot be framed by another page.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Swagger UI has an inline script, styles and images, and shows images from answers.
DOCS_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


def create_blueprint(service: Service) -> Blueprint:
    """Return the page, the documentation and the headers that isolate both."""
    blueprint = Blueprint("page", __name__)
    # Every URL in the page and the documentation is relative, so that a proxy may put the service
    # under a path of its own.
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

    @blueprint.after_app_request
    def add_security_headers(response: Response) -> Response:
        of_docs = request.path.startswith(f"{DOCS}/")
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Content-Security-Policy"] = (
            DOCS_SECURITY_POLICY if of_docs else CONTENT_SECURITY_POLICY
        )
        return response

    return blueprint
