"""Logs, request IDs, metrics."""
