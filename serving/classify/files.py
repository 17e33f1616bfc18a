"""Finds the requested files, and decodes them in parallel."""

import codecs
import glob
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import gevent
from gevent.pool import Pool
from gevent.queue import LifoQueue

from serving.errors import FolderError, ImageSizeError, ServingError
from serving.images.decode import MAX_PIXELS, DecodedImage
from serving.images.process import DecoderCrashError, DecoderTimeoutError, Process
from serving.inference.classifier import usable_threads

# The files in a folder that count as images. They include unsupported formats: each such file
# gets a row that says so.
SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".dib"),
    *(".heic", ".heif", ".avif", ".jxl", ".tif", ".tiff", ".svg"),
)
_MARKS = {  # byte order marks; UTF-32's begin as UTF-16's do
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
GROUP = 16  # maximum files per process at a time; the answer fits into a pipe
GROUP_BYTES = 2**18  # maximum bytes of several; large images gain nothing from groups
DEADLINE = 10.0  # seconds for a process to decode a group
ADVICE: dict[type[ServingError], str] = {
    FolderError: " Add --folders to classify the images in it.",
    ImageSizeError: " Omit --no-resize to crop and resample its center.",
}

Group = tuple[str, ...]  # paths of files that are decoded together
Decoded = tuple[str, DecodedImage | str]  # a path with its image, or with an error message


class ListError(Exception):
    """A list of paths that cannot be read; the message says why and what to do."""


def find_files(paths: Iterable[str], *, walk: bool = True) -> Iterator[str]:
    """Yield the requested files: paths, and with `walk` the images in folders at any depth.

    Missing files are included, so that each gets an error in its place.
    """
    for path in paths:
        if walk and os.path.isdir(path):  # noqa: PTH112  # Path's raises for one that it may not see
            yield from _walk(path)
        else:
            yield str(Path(path))


def match_files(path: str) -> list[str]:
    """Expand a glob that no shell has expanded; return any other path unchanged."""
    if not glob.has_magic(path) or os.path.lexists(path):
        return [path]
    found = map(Path, glob.glob(path, recursive=True))  # noqa: PTH207  # Path's takes no absolute one
    # With circular links, ** finds the same file many times.
    longest_first = sorted(found, key=lambda match: (len(match.parts), match), reverse=True)
    matches = {match.parent.resolve() / match.name: str(match) for match in longest_first}
    return sorted(matches.values()) or [path]


def _walk(folder: str) -> Iterator[str]:
    """Yield the images in a folder at any depth, and in folders elsewhere that it links to."""
    root = Path(folder).resolve()
    unreadable: list[str] = []
    seen: set[Path] = set()  # since links may be circular
    for parent, folders, files in os.walk(
        folder, onerror=lambda e: unreadable.append(e.filename), followlinks=True
    ):
        place = Path(parent).resolve()
        if place in seen or (Path(parent).is_symlink() and root in place.parents):
            folders.clear()
            continue
        seen.add(place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield str(Path(parent, name))
    yield from unreadable


def read_list(content: bytes, *, null: bool = False) -> list[str]:
    """Return the paths in a list, one per line, or separated by NUL as `find -print0` does.

    With `null`, NUL alone separates them.

    Raises:
        ListError: the list is not valid in the encoding of its byte order mark, or it is probably
            UTF-16 without one.
    """
    text = os.fsdecode(content) if null else _decode_list(content)
    if null or "\0" in text:
        paths = text.split("\0")
        # In UTF-16, there is a NUL before or after each character of ASCII.
        if not null and any(len(path) == 1 for path in paths):
            raise ListError(
                "the list has NUL bytes, as in UTF-16; save it as UTF-8, or add -0 if NUL "
                "separates its paths"
            )
    else:
        paths = [line.rstrip("\r") for line in text.split("\n")]
    return [path for path in paths if path]


def _decode_list(content: bytes) -> str:
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            try:
                return content[len(mark) :].decode(encoding)
            except UnicodeDecodeError as error:
                raise ListError(
                    f"the list has a byte order mark of {encoding.upper()}, but is not valid: "
                    f"{error}; save it as UTF-8"
                ) from error
    return os.fsdecode(content)


def decode_files(
    paths: Iterable[str], *, resize: bool, max_pixels: int = MAX_PIXELS
) -> Generator[Decoded]:
    """Decode files in parallel and yield them in order.

    Only the next few files are decoded ahead, so memory does not grow with their number.
    """
    processes = [Process(max_pixels) for _ in range(usable_threads())]
    free = LifoQueue()  # last in, first out, so that few files do not start all
    for process in processes:
        free.put(process)

    def decode_group(group: Group) -> list[Decoded]:
        process = free.get()
        try:
            return _decode_group(process, group, resize)
        finally:
            free.put(process)

    pool = Pool(len(processes))
    decoded = pool.imap(decode_group, _groups(paths), maxsize=2 * len(processes))
    try:
        for group in decoded:
            yield from group
            gevent.sleep(0)  # so that the processes get their next groups
    finally:
        decoded.kill()
        pool.kill()
        for process in processes:
            process.end()


def _groups(paths: Iterable[str]) -> Iterator[Group]:
    group: list[str] = []
    room = GROUP_BYTES
    for path in paths:
        size = 0
        with suppress(OSError, ValueError):  # the decoder reports the error
            size = os.stat(path).st_size  # noqa: PTH116  # faster than Path's
        if group and (size > room or len(group) == GROUP):
            yield tuple(group)
            group, room = [], GROUP_BYTES
        group.append(path)
        room -= size
    if group:
        yield tuple(group)


def _decode_group(process: Process, group: Group, resize: bool) -> list[Decoded]:
    """Decode files in order, each to its pixels or an error message."""
    here = os.getcwd()  # noqa: PTH109  # decoders run elsewhere
    files = [os.path.join(here, path) for path in group]  # noqa: PTH118  # Path is five times slower
    try:
        outcomes, _ = process.decode(files, name="The file", resize=resize, limit=DEADLINE)
    except (DecoderTimeoutError, DecoderCrashError) as error:
        if len(group) > 1:  # find out which
            return [one for path in group for one in _decode_group(process, (path,), resize)]
        if isinstance(error, DecoderCrashError):
            return [(group[0], "The file crashed its decoder.")]
        return [(group[0], f"The file takes more than {DEADLINE:.0f} seconds to decode.")]
    return [
        (path, f"{outcome}{ADVICE.get(type(outcome), '')}")
        if isinstance(outcome, ServingError)
        else (path, outcome)
        for path, outcome in zip(group, outcomes, strict=True)
    ]
