"""Train, export and evaluate the bundled models: `python -m training`."""
