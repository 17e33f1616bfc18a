"""A script with a thread pool: each thread decodes a file and runs the models on it."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rivals.common import WORKERS, classify, decode, load


def main(folders: list[str]) -> None:
    """Print a line of JSON for each file in some folders."""
    sessions = load()  # of one thread each: the pool has as many as there are cores

    def answer(path: Path) -> dict[str, Any]:
        [result] = classify(sessions, decode(path.read_bytes())[np.newaxis])
        return result

    paths = [path for folder in folders for path in sorted(Path(folder).iterdir())]
    with ThreadPoolExecutor(WORKERS) as pool:
        for path, result in zip(paths, pool.map(answer, paths), strict=True):
            print(json.dumps({"file": str(path), **result}))


if __name__ == "__main__":
    main(sys.argv[1:])
