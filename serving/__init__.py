"""The HTTP service over the bundled models: `python -m serving`."""
