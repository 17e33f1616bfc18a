"""The article's networks, and how they are trained, as data."""
