"""One module per format: what its file says before a pixel is decoded, and its pixels."""
