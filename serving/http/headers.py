"""Headers: proxies, CORS, browser security and compression."""

import zlib

from flask import Flask, Response, request
from flask_cors import CORS
from werkzeug.middleware.proxy_fix import ProxyFix

from serving.settings import Settings, listed

# Response headers that a page from another origin may read.
EXPOSED_HEADERS = ["Inference-Header-Content-Length", "Retry-After", "X-Request-ID"]
PREFLIGHT_SECONDS = 600  # how long a browser may cache a preflight

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

MIN_SIZE = 4096  # bytes; shorter responses are sent uncompressed
LEVEL = 1  # the fastest
WINDOWS = {"gzip": 31, "deflate": 15}  # zlib's window bits, which select the header and trailer
COMPRESSED = frozenset(
    {
        "application/json",
        "application/octet-stream",  # of the Open Inference Protocol
        "text/css",
        "text/html",
        "text/javascript",
        "text/plain",
    }
)


def trust_proxies(app: Flask, settings: Settings) -> None:
    """Take the client's address, scheme, host and path prefix from trusted proxies' headers."""
    if hops := settings.trusted_proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops, x_port=hops, x_prefix=hops
        )


def allow_origins(app: Flask, settings: Settings) -> None:
    """Let pages from the configured origins read responses; by default none may."""
    if origins := listed(settings.cors_origins):
        CORS(
            app,
            origins=origins,
            methods=["GET", "HEAD", "POST"],
            expose_headers=EXPOSED_HEADERS,
            max_age=PREFLIGHT_SECONDS,
            intercept_exceptions=False,  # the application's error handlers handle them
        )


def isolate_pages(app: Flask, docs: str) -> None:
    """Restrict what browsers load and frame to what pages need; those under `docs` need more."""

    @app.after_request
    def add_security_headers(response: Response) -> Response:
        of_docs = request.path.startswith(f"{docs}/")
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Content-Security-Policy"] = (
            DOCS_SECURITY_POLICY if of_docs else CONTENT_SECURITY_POLICY
        )
        return response


def compress_answers(app: Flask) -> None:
    """Compress long responses for clients that accept it (RFC 9110, 12.5.3).

    Each coding has its own entity tag. A range stays uncompressed, since its offsets and its tag
    are those of the uncompressed response.
    """

    @app.after_request
    def compress_answer(response: Response) -> Response:
        if response.mimetype not in COMPRESSED:
            return response
        response.vary.add("Accept-Encoding")
        coding = request.accept_encodings.best_match([*WINDOWS, "identity"], "identity")
        if (
            coding == "identity"
            or response.status_code not in {200, 304}
            or (response.content_length or 0) < MIN_SIZE
        ):
            return response
        tag, _ = response.get_etag()
        if tag and not request.if_none_match.contains_weak(
            tag
        ):  # else the client has the plain one
            response.set_etag(f"{tag}:{coding}")
            response.make_conditional(request)
        if response.status_code == 200:
            response.headers.pop("Accept-Ranges", None)
            response.direct_passthrough = False  # of a file
            response.set_data(zlib.compress(response.get_data(), LEVEL, WINDOWS[coding]))
            response.content_encoding = coding
        return response
