"""Finds the requested files, and decodes them in parallel."""

import codecs
import glob
import os
import signal
import stat
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue

from loky import cpu_count

from serving.errors import ImageSizeError, ServingError
from serving.images.decode import MAX_PIXELS, DecodedImage, decode

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
GROUP = 32  # most files given to a process at a time
GROUP_BYTES = 2**18  # most bytes of several; large images take longer to decode than to pass on
MAX_BYTES = 256 * 2**20  # of a file; the most pixels by default take 201 MB as 8-bit RGBA
DEADLINE = 10.0  # seconds for a process to decode what it was given

Group = tuple[str, ...]  # paths of files that are decoded together
Decoded = tuple[str, DecodedImage | str]  # a path with its image, or with what is wrong


class ListError(Exception):
    """A list of paths that cannot be read; the message says why and what to do."""


def find_files(paths: Iterable[str], *, walk: bool = True) -> Iterator[str]:
    """Yield the requested files: paths, and with `walk` the images in folders at any depth.

    Missing files are yielded as well, so that each gets an error in its place.
    """
    for path in paths:
        if walk and os.path.isdir(path):  # noqa: PTH112  # Path's raises for one that it may not see
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


def read_list(content: bytes, *, null: bool = False) -> list[str]:
    """Return the paths in a list, one per line, or separated by NUL as `find -print0` does.

    With `null`, NUL alone separates them.

    Raises:
        ListError: the list is not in the encoding that its byte order mark says, or it is likely
            UTF-16 without one.
    """
    text = os.fsdecode(content) if null else _decode_list(content)
    if null or "\0" in text:
        paths = text.split("\0")
        # In UTF-16, there is a NUL before or after each character of ASCII.
        if not null and any(len(path) == 1 for path in paths):
            raise ListError(
                "the list has NUL bytes, as UTF-16 has; save it as UTF-8, or add -0 if NUL "
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
                    f"the list begins as {encoding.upper()}, and is not: {error}; save it as UTF-8"
                ) from error
    return os.fsdecode(content)


def decode_files(
    paths: Iterable[str], *, resize: bool, max_pixels: int = MAX_PIXELS
) -> Generator[Decoded]:
    """Decode files in parallel, and yield them in order.

    This takes processes, because one that a file hangs or crashes can be replaced. Only the next
    few files are decoded ahead, so memory does not grow with their number.
    """
    workers: int = cpu_count()
    decoders = [_Decoder(resize, max_pixels) for _ in range(workers)]
    free: SimpleQueue[_Decoder] = SimpleQueue()
    for decoder in decoders:
        free.put(decoder)

    def decode_group(group: Group) -> list[Decoded]:
        decoder = free.get()
        try:
            return decoder.decode(group)
        finally:
            free.put(decoder)

    with ThreadPoolExecutor(workers) as threads:
        try:
            window: deque[Future[list[Decoded]]] = deque()
            for group in _groups(paths):
                window.append(threads.submit(decode_group, group))
                if len(window) > 2 * workers:
                    yield from window.popleft().result()
            while window:
                yield from window.popleft().result()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            for decoder in decoders:
                decoder.stop()


def _groups(paths: Iterable[str]) -> Iterator[Group]:
    group: list[str] = []
    room = GROUP_BYTES
    for path in paths:
        size = 0
        with suppress(OSError, ValueError):  # the decoder says what is wrong
            size = os.stat(path).st_size  # noqa: PTH116  # faster than Path's
        if group and (size > room or len(group) == GROUP):
            yield tuple(group)
            group, room = [], GROUP_BYTES
        group.append(path)
        room -= size
    if group:
        yield tuple(group)


class _Decoder:
    """A process that decodes files, replaced when one hangs or crashes it.

    It needs a pipe alone, while pools share semaphores, for which /dev/shm must have room.
    """

    def __init__(self, resize: bool, max_pixels: int) -> None:
        self._options = (resize, max_pixels)
        self._is_stopped = False
        self._start()

    def _start(self) -> None:
        if sys.platform == "win32":
            context = get_context("spawn")
        else:  # a fork of this process would have the locks of ONNX Runtime's threads without them
            context = get_context("forkserver")
            context.set_forkserver_preload([__name__])
        self._connection, there = context.Pipe()
        self._process = context.Process(target=_answer, args=(there, _decode_group), daemon=True)
        self._process.start()
        there.close()

    def decode(self, group: Group) -> list[Decoded]:
        """Decode files in order, each to its pixels or to what is wrong."""
        problem = "The decoder broke down on the file."
        try:
            self._connection.recv()  # it is ready; its start is not the files' time
            self._connection.send((group, *self._options))
            if self._connection.poll(DEADLINE):
                images: list[Decoded] = self._connection.recv()
                return images
            problem = f"The file takes more than {DEADLINE:.0f} seconds to decode."
        except (EOFError, OSError):  # it has ended
            pass
        if self._is_stopped:
            return []
        self._process.kill()
        self._connection.close()
        self._start()
        if len(group) == 1:
            return [(group[0], problem)]
        return [one for path in group for one in self.decode((path,))]  # which of them?

    def stop(self) -> None:
        """End the process, and what waits for it."""
        self._is_stopped = True
        self._process.kill()


def _answer(orders: Connection, decode_group: Callable[[Group, bool, int], list[Decoded]]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, which ends this
    with suppress(EOFError, OSError):  # the command has ended
        while True:
            orders.send("ready")
            orders.send(decode_group(*orders.recv()))


def _decode_group(paths: Group, resize: bool, max_pixels: int) -> list[Decoded]:
    return [(path, _decode_file(path, resize, max_pixels)) for path in paths]


def _decode_file(path: str, resize: bool, max_pixels: int) -> DecodedImage | str:
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return "It is not a file."
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            return f"The file has more than {MAX_BYTES // 2**20} MiB. Save it smaller."
        return decode(content, name="The file", resize=resize, max_pixels=max_pixels)
    except IsADirectoryError:
        return "It is a folder. Add --folders to classify the images in it."
    except OSError as error:
        return f"{error.strerror}."
    except ImageSizeError as error:
        return f"{error.args[0]} Leave out --no-resize to have its center cropped and resampled."
    except ServingError as error:
        return str(error)


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe may never have a writer
