"""The application for servers that load it by its name."""

from benchmarks.service import ROOT
from serving.app import create_app
from serving.telemetry import configure_logging

configure_logging()
app = create_app(ROOT / "models", "cpu")
