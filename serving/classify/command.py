"""The command: options, batches, and the number of failed files."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import click
import numpy as np
import numpy.typing as npt

from models.measurements import rounded
from serving.classify.files import (
    Decoded,
    ListError,
    decode_files,
    find_files,
    match_files,
    read_list,
)
from serving.classify.rows import (
    CsvRows,
    Format,
    JsonRows,
    Key,
    Output,
    OutputError,
    Row,
    open_output,
    printable,
)
from serving.errors import OverloadedError, StartError, UnknownModelError
from serving.images.decode import DecodedImage
from serving.inference.classifier import Classifier
from serving.inference.registry import Classifiers, load_classifiers
from serving.options import read_settings, settings_options
from serving.settings import Settings

HELD = 256  # maximum files, including broken ones, that wait for a full batch


@click.command(context_settings={"show_default": True})
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    show_default="standard output",
    help="Output file. Its existing rows are kept, and their files skipped; to retry files with "
    "errors, delete their rows.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(get_args(Format)),
    show_default="jsonl if --output ends in .jsonl or .ndjson, else csv",
    help="CSV, or JSON Lines: one object per line.",
)
@click.option(
    "--model",
    "names",
    multiple=True,
    show_default="the most accurate",
    help="Model to run; repeat for several, with one row per model.",
)
@click.option("--version", show_default="the newest", help="Version of the models.")
@click.option(
    "--top-k",
    type=click.IntRange(1),
    default=1,
    help="Maximum classes per row, best first.",
)
@click.option(
    "--resize/--no-resize",
    default=True,
    help="Crop and resample images that are not 32×32, or refuse them.",
)
@click.option("-0", "--null", is_flag=True, help="Paths in a list end with NUL, not newline.")
@click.option("--folders", is_flag=True, help="Search the folders in a list, too.")
@settings_options("precision", "provider", "models_dir", "max_pixels")
def classify(
    paths: tuple[str, ...],
    output: Path | None,
    format_: Format | None,
    names: tuple[str, ...],
    version: str | None,
    top_k: int,
    resize: bool,
    null: bool,
    folders: bool,
    **options: Any,
) -> None:
    """Classify image files, without a server.

    PATH is a file, a folder (its images at any depth, also in linked folders, except hidden ones),
    a quoted glob, or - for a list of files on standard input, one per line or separated by NUL. A
    file that cannot be read as an image gets a row with an error; the command then ends with the
    number of errors and exit status 1.
    """
    settings = read_settings(workers=1, **options)  # use all cores
    if format_ is None:
        format_ = "jsonl" if output and output.suffix in {".jsonl", ".ndjson"} else "csv"
    files = _list_files(paths, null=null, folders=folders)
    try:
        classifiers = load_classifiers(settings)
        chosen = _choose(classifiers, names, version)
        top_k = min(top_k, max(len(c.record.classes) for c in chosen))
        with open_output(output, JsonRows() if format_ == "jsonl" else CsvRows(top_k)) as opened:
            failed = _Run(chosen, settings, top_k, opened).classify(files, resize=resize)
    except UnknownModelError as error:
        raise click.UsageError(str(error)) from error
    except (StartError, OverloadedError, OutputError) as error:
        raise click.ClickException(str(error)) from error
    if failed:
        again = f" To retry them, delete these rows from {output}." if output else ""
        raise click.ClickException(
            f"{failed:,} of {len(files):,} files could not be classified; their rows say why."
            + again
        )


def _list_files(paths: tuple[str, ...], *, null: bool, folders: bool) -> list[str]:
    """Return each requested file once."""
    found: list[str] = []
    for path in paths:
        if path == "-":
            try:
                listed = read_list(sys.stdin.buffer.read(), null=null)
            except ListError as error:
                raise click.ClickException(f"On standard input, {error}.") from error
            found += find_files(listed, walk=folders)
        else:
            found += find_files(match_files(path))
    files = list(dict.fromkeys(found))
    if not files and "-" not in paths:  # a list may well be empty
        raise click.ClickException(f"There are no images in {', '.join(paths)}.")
    return files


def _choose(
    classifiers: Classifiers, names: tuple[str, ...], version: str | None
) -> list[Classifier]:
    chosen = classifiers.choose(names, version)
    if names:
        return chosen
    return [max(chosen, key=lambda classifier: classifier.record.test_accuracy or 0)]


@dataclass(frozen=True)
class _Run:
    """The models, and the output for their answers."""

    classifiers: list[Classifier]
    settings: Settings
    top_k: int
    output: Output

    def classify(self, files: list[str], *, resize: bool) -> int:
        """Write the missing rows; return how many of the files have an error."""
        done = self.output.done
        left = [file for file in files if not all(key in done for key in self._keys(file))]
        failed = {file for file in files if any(done.get(key) for key in self._keys(file))}
        # Hidden on a terminal that shows the rows.
        hidden = not sys.stderr.isatty() or self.output.file.isatty()
        with (
            click.progressbar(length=len(left), file=sys.stderr, hidden=hidden) as bar,
            closing(
                decode_files(left, resize=resize, max_pixels=self.settings.max_pixels)
            ) as decoded,
        ):
            for batch in _batches(decoded, self.classifiers[0].max_batch):
                self.output.write(row for row in self._rows(batch) if row.key not in done)
                failed.update(file for file, image in batch if isinstance(image, str))
                bar.update(len(batch))
        return len(failed)

    def _rows(self, batch: list[Decoded]) -> Iterator[Row]:
        images = [image.pixels for _, image in batch if isinstance(image, DecodedImage)]
        by_model = [c.classify(np.stack(images)) for c in self.classifiers] if images else []
        answers = zip(*by_model, strict=True)
        for file, image in batch:
            keys = self._keys(file)
            if isinstance(image, str):
                yield from (Row(key, {}, image) for key in keys)
            else:
                for key, classifier, probabilities in zip(
                    keys, self.classifiers, next(answers), strict=True
                ):
                    yield Row(key, self._best(classifier, probabilities))

    def _keys(self, file: str) -> list[Key]:
        name = printable(file)
        return [Key(name, c.record.name, c.record.version, c.precision) for c in self.classifiers]

    def _best(
        self, classifier: Classifier, probabilities: npt.NDArray[np.float32]
    ) -> dict[str, float]:
        classes = classifier.record.classes
        best_first = np.argsort(-probabilities, kind="stable")[: self.top_k]
        return {printable(classes[i]): rounded(probabilities[i]) for i in best_first}


def _batches(decoded: Iterable[Decoded], size: int) -> Iterator[list[Decoded]]:
    """Yield files in order, in batches with at most `size` images among them."""
    batch: list[Decoded] = []
    images = 0
    for file, image in decoded:
        batch.append((file, image))
        images += isinstance(image, DecodedImage)
        if images == size or len(batch) == HELD:
            yield batch
            batch, images = [], 0
    if batch:
        yield batch
