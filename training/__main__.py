"""The command line: `python -m training --help`."""

from pathlib import Path
import sys
from training import architectures
from training.data import find, load
from training.recipes import ARTICLE
from training.train import train

for name in sys.argv[1:]:
    train(getattr(architectures, name), ARTICLE, load(find(None)).train, epochs=ARTICLE.epochs[name], seed=0, run_dir=Path(f"/opt/runs/{name}/1"))
