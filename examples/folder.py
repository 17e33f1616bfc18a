# /// script
# dependencies = ["requests"]
# ///
"""Classify a folder of images to CSV: `uv run examples/folder.py FOLDER`.

Faster, and without a server: `uv run python -m serving classify FOLDER`.
"""

import csv
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

SERVICE = os.environ.get("SERVICE", "http://127.0.0.1:8000")
KEY = os.environ.get("API_KEY")  # if the service requires one
AT_ONCE = 8  # concurrent requests; the service batches them


def classify(path: Path) -> list[object]:
    """Return the file's row."""
    response = requests.post(
        f"{SERVICE}/predict",
        params={"model": "final", "top_k": "1"},
        files={"image": (path.name, path.read_bytes())},
        headers={"X-API-Key": KEY} if KEY else {},
        timeout=30,
    )
    if not response.ok:
        return [path, None, None, response.json()["detail"]]
    [model] = response.json()["predictions"][0]["models"]
    return [path, model["class"], model["confidence"], None]


rows = csv.writer(sys.stdout)
rows.writerow(["file", "class", "confidence", "problem"])
files = sorted(path for path in Path(sys.argv[1]).rglob("*") if path.is_file())
with ThreadPoolExecutor(AT_ONCE) as pool:
    rows.writerows(pool.map(classify, files))
