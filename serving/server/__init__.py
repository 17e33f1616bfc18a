"""Runs the application with gunicorn, or with gevent's own server on Windows."""
