"""Train, export and evaluate the bundled models: `python -m training`."""

import os

# Before ONNX Runtime is imported: otherwise it reports its use to Microsoft (its Privacy.md).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


class TrainingError(Exception):
    """Ends the command; its message is for the person who gave it."""
