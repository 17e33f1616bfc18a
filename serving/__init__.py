"""The HTTP service over the bundled models: `python -m serving`."""

import os

# Before ONNX Runtime is imported: otherwise it reports its use to Microsoft (its Privacy.md).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

NAME = "image-classification-service"
VERSION = "0.6.0"  # as in pyproject.toml
