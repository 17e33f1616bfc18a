"""What a bundled model is: its class names, its files and the form of its record.

`training` writes the record, `serving` reads it; both import it from here and from nowhere else.
"""
