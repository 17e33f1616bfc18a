"""Runs the application: gunicorn, configured, and gevent's own server on Windows."""
