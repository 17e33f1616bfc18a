"""Train, export and evaluate the bundled models: `python -m training`."""

import os

import click

# Before ONNX Runtime is imported: otherwise it reports its use to Microsoft (its Privacy.md).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# Before TensorFlow is imported: otherwise it logs what it was compiled with, among our lines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


class TrainingError(click.ClickException):
    """Ends the command with one line, for the person who gave it."""
