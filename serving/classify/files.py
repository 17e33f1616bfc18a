"""Finds the requested files, and decodes them in parallel."""

import glob
import os
import stat
import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from loky import cpu_count
from pebble import ProcessExpired, ProcessPool

from serving.errors import ImageSizeError, ServingError
from serving.images.decode import DecodedImage, decode

# The files in a folder that count as images. They include unsupported formats: each such file
# gets a row that says so.
SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".dib"),
    *(".heic", ".heif", ".avif", ".jxl", ".tif", ".tiff", ".svg"),
)
GROUP = 32  # small files given to a process at a time
MAX_BYTES = 128 * 2**20  # of a file; the most pixels that are accepted take 100 MB as 8-bit RGBA
DEADLINE = 10.0  # seconds for a process to decode what it was given

Decoded = tuple[str, DecodedImage | str]  # a path with its image, or with what is wrong


def find_files(paths: Iterable[str]) -> Iterator[str]:
    """Yield the requested files: paths, and the images in folders at any depth.

    Missing files are yielded as well, so that each gets an error in its place.
    """
    for path in paths:
        if os.path.isdir(path):  # noqa: PTH112  # Path's raises for one that it may not see
            yield from _walk(path)
        else:
            yield str(Path(path))


def match_files(path: str) -> list[str]:
    """Return what a glob matches that no shell has expanded; any other path as it is."""
    if not glob.has_magic(path) or os.path.lexists(path):
        return [path]
    found = map(Path, glob.glob(path, recursive=True))  # noqa: PTH207  # Path's takes no absolute one
    # Under links that lead in a circle, ** finds the same many times.
    longest_first = sorted(found, key=lambda match: (len(match.parts), match), reverse=True)
    matches = {match.parent.resolve() / match.name: str(match) for match in longest_first}
    return sorted(matches.values()) or [path]


def _walk(folder: str) -> Iterator[str]:
    """Yield the images in a folder at any depth, and in folders elsewhere that it links to."""
    root = Path(folder).resolve()
    unreadable: list[str] = []
    seen: set[Path] = set()  # as links may lead in a circle
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


def read_list(content: bytes) -> list[str]:
    """Return the paths in a list, one per line, or separated by NUL as `find -print0` does."""
    separator = b"\0" if b"\0" in content else b"\n"
    return [os.fsdecode(line) for part in content.split(separator) if (line := part.rstrip(b"\r"))]


def decode_files(paths: Iterable[str], *, resize: bool) -> Generator[Decoded]:
    """Decode files in parallel, and yield them in order.

    This takes processes, because one that a file hangs or crashes can be replaced. Only the next
    few files are decoded ahead, so memory does not grow with their number.
    """
    workers: int = cpu_count()
    # Large images take longer to decode than to pass on; small ones are passed on together.
    size = 1 if resize else GROUP
    # A fork of this process would have the locks of ONNX Runtime's threads, but not the threads.
    context = get_context("spawn" if sys.platform == "win32" else "forkserver")
    if sys.platform != "win32":
        context.set_forkserver_preload([__name__])
    pool = ProcessPool(workers, context=context)
    try:
        window: deque[tuple[tuple[str, ...], Future[list[Decoded]]]] = deque()
        left = iter(paths)
        while group := tuple(islice(left, size)):
            task = pool.schedule(_decode_group, (group, resize), timeout=DEADLINE)
            window.append((group, task))
            if len(window) > 2 * workers:
                yield from _finish(pool, *window.popleft(), resize=resize)
        while window:
            yield from _finish(pool, *window.popleft(), resize=resize)
    finally:
        pool.stop()  # type: ignore[no-untyped-call]  # Pebble's types have gaps
        pool.join()


def _finish(
    pool: ProcessPool, group: tuple[str, ...], task: Future[list[Decoded]], *, resize: bool
) -> Iterator[Decoded]:
    try:
        yield from task.result()
        return
    except TimeoutError:
        problem = f"The file takes more than {DEADLINE:.0f} seconds to decode."
    except ProcessExpired:
        problem = "The decoder broke down on the file."
    if len(group) == 1:
        yield group[0], problem
        return
    for path in group:  # which of them was it?
        alone = (path,)
        task = pool.schedule(_decode_group, (alone, resize), timeout=DEADLINE)
        yield from _finish(pool, alone, task, resize=resize)


def _decode_group(paths: tuple[str, ...], resize: bool) -> list[Decoded]:
    return [(path, _decode_file(path, resize=resize)) for path in paths]


def _decode_file(path: str, *, resize: bool) -> DecodedImage | str:
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return "It is not a file."
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            return f"The file has more than {MAX_BYTES // 2**20} MiB. Save it smaller."
        return decode(content, name="The file", resize=resize)
    except OSError as error:
        return f"{error.strerror}."
    except ImageSizeError as error:
        return (
            f"{error.args[0]} Add --resize, with another --output, to have its center cropped and "
            "resampled."
        )
    except ServingError as error:
        return str(error)


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe may never have a writer
