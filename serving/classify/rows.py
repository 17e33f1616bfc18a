"""Writes rows as CSV or JSON Lines, to a stream or to a file that a later run can continue."""

import csv
import io
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from io import SEEK_END, BufferedReader, FileIO
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import portalocker

from models.locks import lock

Format = Literal["csv", "jsonl"]

LONGEST = 2**22  # maximum bytes in a row, which has a path and --top-k classes

# Line breaks and what is not text: each row is one line of UTF-8, whatever the files' names.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class OutputError(Exception):
    """The output cannot be written or continued; the message says why and what to do."""


class Key(NamedTuple):
    """Identifies a row: rows with equal keys have equal answers."""

    file: str
    model: str
    version: int
    precision: str


@dataclass(frozen=True)
class Row:
    """A model's answer to a file: the best classes with their probabilities, or an error."""

    key: Key
    probabilities: dict[str, float]  # best first; empty in case of an error
    error: str = ""


def printable(text: str) -> str:
    """Return `text` with control characters and undecodable bytes written as escapes."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


class CsvRows:
    """A header line with the columns, then one line per row."""

    def __init__(self, top_k: int) -> None:
        more = [f"{name}_{i}" for i in range(2, top_k + 1) for name in ("class", "confidence")]
        self._columns = [*Key._fields, "class", "confidence", *more, "error"]
        self.head = self._format(self._columns)

    def format(self, row: Row) -> str:
        """Return the row's line."""
        answers = [cell for answer in row.probabilities.items() for cell in answer]
        # A model may have fewer classes than another, and an error has none.
        missing = len(self._columns) - len(Key._fields) - 1 - len(answers)
        return self._format([*row.key, *answers, *[""] * missing, printable(row.error)])

    def parse(self, line: str) -> tuple[Key, bool]:
        """Return a line's key, and whether its row has an error.

        Raises:
            ValueError: the line is not a row with these columns.
        """
        [cells] = csv.reader([line], strict=True)
        row = dict(zip(self._columns, cells, strict=True))
        key = Key(row["file"], row["model"], int(row["version"]), row["precision"])
        return key, bool(row["error"])

    @staticmethod
    def _format(cells: list[Any]) -> str:
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerow(cells)
        return buffer.getvalue()


class JsonRows:
    """JSON Lines: an object per line."""

    head = ""

    def format(self, row: Row) -> str:
        """Return the row's line."""
        document: dict[str, Any] = row.key._asdict()
        if row.error:
            document["error"] = printable(row.error)
        else:
            best, confidence = next(iter(row.probabilities.items()))
            document |= {"class": best, "confidence": confidence}
            document["probabilities"] = row.probabilities
        return json.dumps(document, ensure_ascii=False) + "\n"

    def parse(self, line: str) -> tuple[Key, bool]:
        """Return a line's key, and whether its row has an error.

        Raises:
            ValueError: the line is not such a row.
        """
        try:
            row = json.loads(line)
            key = Key(row["file"], row["model"], row["version"], row["precision"])
            return key, "error" in row
        except (KeyError, TypeError) as error:
            raise ValueError("not a row") from error


@dataclass(frozen=True)
class Output:
    """The output of rows; `done` maps the rows already there to whether they have an error."""

    file: BinaryIO | FileIO
    rows: CsvRows | JsonRows
    done: dict[Key, bool]

    def write(self, rows: Iterable[Row]) -> None:
        """Write rows, all at once.

        Raises:
            OutputError: for example, the disk is full; complete rows already written remain.
        """
        self._write("".join(map(self.rows.format, rows)))

    def write_head(self) -> None:
        """Write the header, if the format has one."""
        self._write(self.rows.head)

    def _write(self, text: str) -> None:
        left = memoryview(text.encode())
        try:
            while left:
                left = left[self.file.write(left) :]
            self.file.flush()
        except BrokenPipeError:
            raise  # the reader has closed the stream
        except OSError as error:
            raise OutputError(
                f"cannot write {self.file.name}: {error.strerror}; "
                "with --output, the same command resumes after the rows already there"
            ) from error


@contextmanager
def open_output(path: Path | None, rows: CsvRows | JsonRows) -> Iterator[Output]:
    """Open a new file, or continue one with the same columns; None means standard output.

    Raises:
        OutputError: the file contains something else, or another run is writing it.
    """
    done: dict[Key, bool] = {}
    end = 0  # bytes
    with _open(path) as file:
        if path and path.is_file():
            try:
                lock(file)
            except portalocker.AlreadyLocked as error:
                raise OutputError(f"another run is writing {path}") from error
            file.seek(0)
            reader = BufferedReader(file)
            done, end = _read_rows(reader, rows)
            if reader.seek(0, SEEK_END) > end:
                file.truncate(end)  # a row cut off when its run was killed
            reader.detach()
        output = Output(file, rows, done)
        if not end:
            output.write_head()
        yield output


def _open(path: Path | None) -> AbstractContextManager[Any]:
    if path is None:
        if sys.stdout.name == os.devnull:  # as models.surroundings opens it
            raise OutputError("standard output is closed; name a file with --output")
        return nullcontext(sys.stdout.buffer)
    try:
        # A pipe, for example, has no rows to continue after.
        mode: Literal["a+b", "wb"] = "wb" if path.exists() and not path.is_file() else "a+b"
        # Unbuffered: closing it after an error must not write the rest again.
        return path.open(mode, buffering=0)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error


def _read_rows(file: BinaryIO, rows: CsvRows | JsonRows) -> tuple[dict[Key, bool], int]:
    """Return the rows that are done, and the length in bytes of the complete ones."""
    done = {}
    end = 0
    for number, line in enumerate(iter(lambda: file.readline(LONGEST), b""), start=1):
        try:
            if not line.endswith(b"\n"):
                if len(line) == LONGEST:
                    raise ValueError("too long for a row")
                # A complete row, or the start of the header, shows that a run began this file.
                if not end and not _begins_alike(line, rows.head or '{"file": "'):
                    raise ValueError("not a row")
                break
            text = line.decode()
            if number == 1 and rows.head:
                if text != rows.head:
                    raise ValueError("another header")
            else:
                key, failed = rows.parse(text)
                done[key] = failed
        except (ValueError, csv.Error) as error:
            raise OutputError(
                f"{file.name}, line {number}, does not match these options; "
                "use the same --format and --top-k as before, or another --output"
            ) from error
        end += len(line)
    return done, end


def _begins_alike(line: bytes, head: str) -> bool:
    return line.startswith(head.encode()) or head.encode().startswith(line)
