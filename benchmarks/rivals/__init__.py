"""Alternatives to the service; each serves the same models, as its documentation shows."""
