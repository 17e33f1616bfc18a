"""The log on standard error."""

import logging
import sys

from flask import has_request_context
from pythonjsonlogger.orjson import OrjsonFormatter

from serving.http.intake import current_request


def configure_logging() -> None:
    """Log to standard error: plain lines on a terminal, JSON lines elsewhere."""
    handler = logging.StreamHandler()
    handler.addFilter(_add_request_id)
    if sys.stderr.isatty():
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    else:
        handler.setFormatter(
            OrjsonFormatter(
                ["levelname", "name", "process", "message", "request_id"],
                rename_fields={"levelname": "level", "name": "logger"},
                timestamp="time",  # RFC 3339, in UTC
            )
        )
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _add_request_id(record: logging.LogRecord) -> bool:
    record.request_id = current_request().id if has_request_context() else None
    return True
