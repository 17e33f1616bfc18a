"""The documentation; `python -m docs` generates the pages that follow from the code."""
