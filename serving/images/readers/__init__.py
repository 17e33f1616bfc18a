"""One module per format, which reads a file's header and decodes its pixels."""
