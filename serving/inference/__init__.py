"""From pixels to probabilities: models, their runs, and batches over requests."""
