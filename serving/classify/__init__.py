"""Many files without a server: `python -m serving classify`.

Files → pixels (`files`) → classes (`command`) → rows (`rows`).
"""
