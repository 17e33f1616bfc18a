"""The bundled models, <name>/<version>/, and the form of their records."""
