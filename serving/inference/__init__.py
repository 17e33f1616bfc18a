"""From pixels to probabilities: models, their runs, and batches across requests."""
