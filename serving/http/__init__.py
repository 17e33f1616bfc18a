"""Requests and responses: intake, headers, parameters, uploads, problems and JSON."""
