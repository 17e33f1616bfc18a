"""Access control: API keys, CORS, and trusted proxies."""

from hmac import compare_digest

from flask import Flask, g, request
from flask_cors import CORS
from werkzeug.middleware.proxy_fix import ProxyFix

from serving.errors import UnauthorizedError
from serving.settings import Settings, listed

KEY_HEADER = "X-API-Key"
# Endpoints that need no key: probes, and the pages that explain how to send one.
OPEN = frozenset(
    {
        "health.live",
        "health.ready",
        "inference_protocol.live",
        "inference_protocol.ready",
        "page.docs",
        "page.openapi",
        "page.page",
        "page.swagger_ui.show",
        "static",
    }
)
# Response headers that a page from another origin may read.
EXPOSED_HEADERS = ["Inference-Header-Content-Length", "Retry-After", "X-Request-ID"]
PREFLIGHT_SECONDS = 600  # how long a browser may cache a preflight


def require_key(app: Flask, settings: Settings) -> None:
    """Refuse requests without a valid API key, if any are set; CORS preflights carry none.

    `buffer_bodies` raises the refusal.
    """
    keys = [key.encode() for key in listed(settings.api_key)]
    if not keys:
        return
    open_endpoints = OPEN if settings.metrics_need_key else OPEN | {"health.metrics"}

    @app.before_request
    def check_key() -> None:
        # An endpoint of None is an unknown path or method, which gets its 404 or 405.
        if request.method == "OPTIONS" or request.endpoint in {*open_endpoints, None}:
            return
        sent = _sent_key()
        if sent is None:
            g.refusal = UnauthorizedError(
                "This service asks for an API key: send it as the header "
                f"'Authorization: Bearer KEY' or '{KEY_HEADER}: KEY'."
            )
        # Compare with every key, in constant time, so that timing reveals nothing.
        elif not sum(compare_digest(sent.encode(), key) for key in keys):
            g.refusal = UnauthorizedError("The API key that was sent is not one of this service's.")


def allow_origins(app: Flask, settings: Settings) -> None:
    """Let pages from the configured origins read responses; by default none may."""
    if origins := listed(settings.cors_origins):
        CORS(
            app,
            origins=origins,
            methods=["GET", "HEAD", "POST"],
            expose_headers=EXPOSED_HEADERS,
            max_age=PREFLIGHT_SECONDS,
            intercept_exceptions=False,  # the application's error handlers answer them all
        )


def trust_proxies(app: Flask, settings: Settings) -> None:
    """Take the client's address, scheme, host and path prefix from the proxies in front."""
    if hops := settings.trusted_proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops, x_port=hops, x_prefix=hops
        )


def _sent_key() -> str | None:
    if (key := request.headers.get(KEY_HEADER)) is not None:
        return key
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None
