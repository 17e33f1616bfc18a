"""From an uploaded file's bytes to the pixels that the models see, within bounded work."""
