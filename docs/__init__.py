"""The documentation; `python -m docs` writes the pages that follow from the code."""
