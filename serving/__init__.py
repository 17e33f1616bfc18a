"""The HTTP service over the bundled models: `python -m serving`."""

NAME = "image-classification-service"
VERSION = "0.1.0"  # pyproject.toml's
