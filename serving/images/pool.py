"""Decodes request images without blocking other requests.

Each format has files that keep its decoder busy for minutes, and a thread cannot be killed. So an
image that is not small is decoded in a process, which is killed if it takes too long.
"""

import json
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
import numpy as np
from gevent.queue import Empty, LifoQueue
from gevent.subprocess import PIPE, Popen

from models.record import IMAGE_SIZE
from serving import errors
from serving.errors import (
    BrokenImageError,
    HungUpError,
    ImageSizeError,
    NotReadyError,
    OverloadedError,
    ServingError,
    TooLargeError,
)
from serving.images.decode import DecodedImage, decode, is_small
from serving.settings import Settings

COMMAND = (sys.executable, "-m", "serving.images.worker")
ROOT = Path(__file__).parents[2]
ROOM = 4  # requests of the largest size whose images a worker holds in memory
START_LIMIT = 30.0  # seconds; on an idle machine, a start takes a third of one
SHAPE = (IMAGE_SIZE, IMAGE_SIZE, 3)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Upload:
    """An image as it was sent; error messages call it `name`."""

    filename: str | None
    name: str
    content: bytes


class Decoders:
    """A few processes for slow images, each started when it is first needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._held = 0  # bytes of images that wait for a process, or are in one
        self._free = LifoQueue()  # the last used one first, so that the others need not start
        self._processes = [_Process(settings.max_pixels) for _ in range(settings.decoders)]
        for process in self._processes:
            self._free.put(process)

    def check_ready(self) -> None:
        """Check that a decoder runs, or starts.

        Raises:
            NotReadyError: none does; the message says why.
        """
        if any(process.runs for process in self._processes):
            return
        process = self._free.get()  # each is starting, if none is free
        try:
            process.start()
        except OverloadedError as error:
            raise NotReadyError(
                f"No decoder can be started: {error.__cause__}. The log says more."
            ) from error
        finally:
            self._free.put(process)

    def decode(
        self,
        uploads: Sequence[Upload],
        is_abandoned: Callable[[], bool] = lambda: False,
        *,
        resize: bool,
    ) -> list[DecodedImage]:
        """Decode a request's images in order, up to the first that is refused.

        Raises:
            ServingError: as images.decode() and decode_each().
        """
        images = []
        for outcome in self.decode_each(uploads, is_abandoned, resize=resize):
            if isinstance(outcome, ServingError):
                raise outcome
            images.append(outcome)
        return images

    def decode_each(
        self,
        uploads: Sequence[Upload],
        is_abandoned: Callable[[], bool] = lambda: False,
        *,
        resize: bool,
    ) -> Iterator[DecodedImage | ServingError]:
        """Decode a request's images in order, each to its pixels or its refusal.

        Raises:
            ServingError: too many pixels in total, no decoder in time, too many bytes that wait for
                one, or `is_abandoned()` before an image is decoded.
        """
        pixels = 0
        left = _TimeBudget(self._settings.decoder_timeout, self._settings.decode_timeout)
        with ExitStack() as held:
            is_held = False
            for place, upload in enumerate(uploads):
                gevent.sleep(0)  # many images must not starve other requests
                try:
                    image = self._decode_here(upload, left, is_abandoned, resize=resize)
                    if image is None:
                        if not is_held:
                            size = sum(len(upload.content) for upload in uploads[place:])
                            is_held = held.enter_context(self._hold(size))
                        image = self._decode_there(upload, left, is_abandoned, resize=resize)
                except (HungUpError, OverloadedError):
                    raise
                except ServingError as refusal:
                    # Without the traceback, whose frames keep the files in memory.
                    yield type(refusal)(*refusal.args)
                    continue
                yield image
                pixels += image.width * image.height
                if pixels > self._settings.max_pixels:
                    raise TooLargeError(
                        f"The images have more than {self._settings.max_pixels:,} pixels together. "
                        "Send fewer or smaller ones at a time."
                    )

    @contextmanager
    def _hold(self, size: int) -> Iterator[bool]:
        """Count bytes of a request's images that wait for a process, or are in one."""
        if self._held + size > ROOM * self._settings.max_body:
            raise _overloaded()
        self._held += size
        try:
            yield True
        finally:
            self._held -= size

    def _decode_here(
        self,
        upload: Upload,
        left: "_TimeBudget",
        is_abandoned: Callable[[], bool],
        *,
        resize: bool,
    ) -> DecodedImage | None:
        """Decode a small image of the models' size at once; return None for any other to resize."""
        if not is_small(upload.content):
            return None
        if is_abandoned():
            raise HungUpError
        if left.work <= 0:
            raise _too_long(upload)
        begun = time.monotonic()
        try:
            return decode(upload.content, name=upload.name, resize=False)
        except ImageSizeError:
            if not resize:
                raise
            return None
        finally:
            left.work -= time.monotonic() - begun

    def _decode_there(
        self,
        upload: Upload,
        left: "_TimeBudget",
        is_abandoned: Callable[[], bool],
        *,
        resize: bool,
    ) -> DecodedImage:
        """Decode any image in a process."""
        asked = time.monotonic()
        try:
            process: _Process = self._free.get(timeout=max(0.0, left.wait))
        except Empty:
            raise _overloaded() from None
        left.wait -= time.monotonic() - asked
        try:
            if is_abandoned():
                raise HungUpError
            return process.decode(upload, left, resize=resize)
        finally:
            self._free.put(process)


@dataclass
class _TimeBudget:
    """The seconds that a request may still wait for decoders, and that decoding may still take."""

    wait: float
    work: float


class _Process:
    """One decoder process, replaced when an image takes too long or crashes it."""

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._process: Popen | None = None
        self.runs = False  # rather than starts

    def decode(self, upload: Upload, left: _TimeBudget, *, resize: bool) -> DecodedImage:
        # An idle process may have died, for example when memory ran short.
        for _ in range(1 if self._process is None else 2):
            with suppress(OSError, ValueError):
                answer, pixels = self._ask(upload, left, resize=resize)
                break
        else:
            raise _broke_down(upload)
        if "error" in answer:
            kind: type[ServingError] = getattr(errors, answer["error"])
            raise kind(answer["message"])
        return DecodedImage(
            np.frombuffer(pixels, np.uint8).reshape(SHAPE), answer["width"], answer["height"]
        )

    def _ask(
        self, upload: Upload, left: _TimeBudget, *, resize: bool
    ) -> tuple[dict[str, Any], bytes]:
        """Decode an image within the time budget, or kill the process.

        Raises:
            OSError, ValueError: the process has ended.
        """
        if left.work <= 0:
            raise _too_long(upload)
        process = self._process or self.start()
        options = {"name": upload.name, "resize": resize, "max_pixels": self._max_pixels}
        order = {"bytes": len(upload.content), "options": options}
        begun = time.monotonic()
        done = False
        try:
            with gevent.Timeout(left.work, _too_long(upload)):
                process.stdin.write(json.dumps(order).encode() + b"\n")
                process.stdin.write(upload.content)
                process.stdin.flush()
                answer = json.loads(process.stdout.readline())
                pixels = process.stdout.read(math.prod(SHAPE)) if "width" in answer else b""
            if "width" in answer and len(pixels) < math.prod(SHAPE):
                raise ValueError("the answer is cut off")
            done = True
            left.work -= answer["seconds"]  # without those that the answer waited in a busy loop
            return answer, pixels
        finally:
            if not done:
                left.work -= time.monotonic() - begun
                self._end()

    def start(self) -> Popen:
        # Its arithmetic is on 32×32 pixels, where OpenBLAS's threads would only take memory.
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        try:
            self._process = Popen(COMMAND, stdin=PIPE, stdout=PIPE, cwd=ROOT, env=environment)
            with gevent.Timeout(START_LIMIT, OSError("it takes too long")):
                if not self._process.stdout.readline():
                    raise OSError(f"it ended with status {self._process.wait()}")
        except OSError as error:
            self._end()
            logger.exception("no decoder could be started")
            raise OverloadedError("No decoder can be started. Send it again later.") from error
        self.runs = True
        return self._process

    def _end(self) -> None:
        if self._process:
            self._process.kill()
            for pipe in (self._process.stdin, self._process.stdout):
                with suppress(OSError):
                    pipe.close()
            self._process.wait()
            self._process = None
            self.runs = False


def _overloaded() -> OverloadedError:
    return OverloadedError("Too many images to decode at once. Send it again in a second.")


def _too_long(upload: Upload) -> TooLargeError:
    return TooLargeError(
        f"{upload.name} takes too long to decode. Send a smaller or plainer image, or fewer at a "
        "time."
    )


def _broke_down(upload: Upload) -> BrokenImageError:
    logger.warning("a decoder broke down on an image of %d bytes", len(upload.content))
    return BrokenImageError(f"{upload.name} is broken: it crashed its decoder. Save it again.")
