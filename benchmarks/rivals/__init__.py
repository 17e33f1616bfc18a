"""What a user would take instead: each serves the same models, as its documentation shows it."""
