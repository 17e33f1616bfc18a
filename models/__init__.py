"""The bundled models, <name>/<version>/, and the format of their records."""

IMAGE_SIZE = 32  # pixels, both sides
