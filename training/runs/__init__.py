"""Training runs: one or several workers, checkpoints, resumption."""
