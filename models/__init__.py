"""The bundled models, <name>/<version>/, and the format of their records."""
