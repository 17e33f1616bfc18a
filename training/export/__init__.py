"""From a trained network to a bundled version."""
