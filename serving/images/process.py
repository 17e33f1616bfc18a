"""A decoder in a process of its own, which can be killed; `worker` runs in it.

Every format has files that keep its decoder busy for minutes, and a thread cannot be killed.
"""

import json
import logging
import math
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import gevent
import numpy as np
from gevent.subprocess import PIPE, Popen

from models import IMAGE_SIZE
from serving.errors import (
    BrokenImageError,
    FolderError,
    ImageSizeError,
    OverloadedError,
    ServingError,
    TooLargeError,
    UnsupportedTypeError,
)
from serving.images.decode import DecodedImage

COMMAND = (sys.executable, "-m", "serving.images.worker")
ROOT = Path(__file__).parents[2]
START_LIMIT = 30.0  # seconds; on an idle machine, a start takes a third of one
SHAPE = (IMAGE_SIZE, IMAGE_SIZE, 3)
REFUSALS = {
    kind.__name__: kind
    for kind in (BrokenImageError, FolderError, ImageSizeError, TooLargeError, UnsupportedTypeError)
}

Outcome = DecodedImage | ServingError

logger = logging.getLogger(__name__)


class DecoderTimeoutError(Exception):
    """Images were not decoded in time."""


class DecoderCrashError(Exception):
    """Images crashed their decoder, after `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


class Process:
    """A decoder process, started on first use, and again after images have crashed it."""

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._process: Popen | None = None
        self.runs = False  # True once it has started

    def decode(
        self, images: Sequence[bytes | str], *, name: str, resize: bool, limit: float
    ) -> tuple[list[Outcome], float]:
        """Decode files' bytes, or files by their paths, within `limit` seconds, or end the process.

        Error messages call each of them `name`. Also return the seconds of work, without the
        answer's wait for a busy event loop.

        Raises:
            OverloadedError: the process cannot be started.
            DecoderTimeoutError: the time ran out.
            DecoderCrashError: the process has ended.
        """
        # An idle process may have died, for example when memory ran short.
        for _ in range(1 if self._process is None else 2):
            process = self._process or self.start()
            begun = time.monotonic()
            with suppress(OSError, ValueError):
                return self._ask(process, images, name, resize, limit)
        raise DecoderCrashError(time.monotonic() - begun)

    def _ask(
        self, process: Popen, images: Sequence[bytes | str], name: str, resize: bool, limit: float
    ) -> tuple[list[Outcome], float]:
        order = {
            "images": [len(image) if isinstance(image, bytes) else image for image in images],
            "options": {"name": name, "resize": resize},
        }
        content = (image for image in images if isinstance(image, bytes))
        done = False
        try:
            with gevent.Timeout(limit, DecoderTimeoutError()):
                process.stdin.write(b"".join((json.dumps(order).encode(), b"\n", *content)))
                process.stdin.flush()
                answer = json.loads(process.stdout.readline())
                outcomes = [_outcome(each, process.stdout) for each in answer["outcomes"]]
            done = True
            return outcomes, answer["seconds"]
        finally:
            if not done:
                self.end()

    def start(self) -> Popen:
        """Start the process and wait until it is ready.

        Raises:
            OverloadedError: it cannot be started; the cause says why.
        """
        # It computes on 32×32 pixels only, where OpenBLAS's threads would just take memory.
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        try:
            command = (*COMMAND, str(self._max_pixels))
            self._process = Popen(command, stdin=PIPE, stdout=PIPE, cwd=ROOT, env=environment)
            with gevent.Timeout(START_LIMIT, OSError("it takes too long")):
                if not self._process.stdout.readline():
                    raise OSError(f"it exited with status {self._process.wait()}")
        except OSError as error:
            self.end()
            logger.exception("cannot start a decoder")
            raise OverloadedError("Cannot start a decoder. Retry later.") from error
        self.runs = True
        return self._process

    def end(self) -> None:
        """Kill the process, if there is one."""
        if self._process:
            self._process.kill()
            for pipe in (self._process.stdin, self._process.stdout):
                with suppress(OSError):
                    pipe.close()
            self._process.wait()
            self._process = None
            self.runs = False


def _outcome(answer: dict[str, Any], pixels: Any) -> Outcome:
    if "error" in answer:
        return REFUSALS[answer["error"]](answer["message"])
    content = pixels.read(math.prod(SHAPE))
    return DecodedImage(
        np.frombuffer(content, np.uint8).reshape(SHAPE), answer["width"], answer["height"]
    )
