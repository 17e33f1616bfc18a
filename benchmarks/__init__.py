"""Measurements, run by hand: README.md holds their tables and the commands that make them."""
