"""A process that decodes images and can be killed: `python -m serving.images.worker MAX_PIXELS`.

Each input line is an order in JSON: the `images`, each a path or the number of its bytes, which
follow the line, and the `options` of images.decode(). The output is a line once it is ready, then a
line of JSON per order: the `seconds` of work and the `outcomes`, each either the `width` and
`height` of an image, whose 3,072 bytes follow the line, or the `error` that images.decode() raised
and its `message`.
"""

import json
import os
import signal
import stat
import sys
import time

if sys.platform != "win32":
    import resource

from serving.errors import BrokenImageError, FolderError, ServingError, TooLargeError
from serving.images.decode import decode

MEMORY_LIMIT = 2 * 2**30  # maximum bytes of address space, unless the pixels need more
PIXEL_MEMORY = 22  # maximum bytes to decode a pixel
OTHER_MEMORY = 2**30  # bytes; the libraries take 200 MB of it
MAX_BYTES = 256 * 2**20  # of a file; the default maximum of pixels takes 201 MB as 8-bit RGBA


def main() -> None:
    """Answer until the input ends, as it does when the service exits."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the service handles Ctrl-C
    max_pixels = int(sys.argv[1])
    _limit_memory(max_pixels)
    orders, answers = sys.stdin.buffer, sys.stdout.buffer
    answers.write(b"ready\n")
    answers.flush()
    while line := orders.readline():
        order = json.loads(line)
        outcomes: list[dict[str, object]] = []
        pixels = []
        sent = [orders.read(each) if isinstance(each, int) else each for each in order["images"]]
        begun = time.process_time()
        for content in sent:
            try:
                if isinstance(content, str):
                    content = read_file(content)  # noqa: PLW2901
                image = decode(content, max_pixels=max_pixels, **order["options"])
            except ServingError as error:
                outcomes.append({"error": type(error).__name__, "message": str(error)})
            else:
                outcomes.append({"width": image.width, "height": image.height})
                pixels.append(image.pixels.tobytes())
        answer = {"outcomes": outcomes, "seconds": time.process_time() - begun}
        answers.write(b"".join((json.dumps(answer).encode(), b"\n", *pixels)))
        answers.flush()


def read_file(path: str) -> bytes:
    """Return a file's bytes.

    Raises:
        BrokenImageError: it cannot be read.
        FolderError: it is a folder.
        TooLargeError: it has more than `MAX_BYTES`.
    """
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise BrokenImageError("It is not a file.")
            content = file.read(MAX_BYTES + 1)
    except IsADirectoryError as error:
        raise FolderError("It is a folder.") from error
    except OSError as error:
        raise BrokenImageError(f"{error.strerror}.") from error
    if len(content) > MAX_BYTES:
        raise TooLargeError(
            f"The file exceeds {MAX_BYTES // 2**20} MiB. Save it as a smaller file."
        )
    return content


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe may never have a writer


def _limit_memory(max_pixels: int) -> None:
    if sys.platform != "win32":
        allowed = {*resource.getrlimit(resource.RLIMIT_AS)} - {resource.RLIM_INFINITY}
        wanted = max(MEMORY_LIMIT, OTHER_MEMORY + PIXEL_MEMORY * max_pixels)
        limit = min({wanted, *allowed})
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main()
