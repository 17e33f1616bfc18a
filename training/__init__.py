"""Train, export and evaluate the bundled models: `python -m training`."""


class TrainingError(Exception):
    """Ends the command; its message is for the person who gave it."""
