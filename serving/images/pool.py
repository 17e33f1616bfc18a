"""Decodes request images without blocking other requests.

Images that are large or need resampling are decoded in a process, which is killed if it takes too
long.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import gevent
from gevent.queue import Empty, LifoQueue

from serving.errors import (
    BrokenImageError,
    HungUpError,
    ImageSizeError,
    NotReadyError,
    OverloadedError,
    ServingError,
    TooLargeError,
)
from serving.images.decode import DecodedImage, Upload, decode, is_small
from serving.images.process import DecoderCrashError, DecoderTimeoutError, Outcome, Process

logger = logging.getLogger(__name__)


class Decoders:
    """A few processes for slow images, each started on first use."""

    def __init__(
        self, processes: int, *, max_pixels: int, max_held: int, wait: float, work: float
    ) -> None:
        """Hold up to `max_held` bytes of images; `wait` and `work` limit a request's seconds."""
        self._max_pixels = max_pixels
        self._max_held = max_held
        self._wait = wait
        self._work = work
        self._held = 0  # bytes of images waiting for a process or in one
        self._free = LifoQueue()  # the last used one first, so that the others need not start
        self._processes = [Process(max_pixels) for _ in range(processes)]
        for process in self._processes:
            self._free.put(process)

    def check_ready(self) -> None:
        """Check that a decoder is running, or start one.

        Raises:
            NotReadyError: none starts; the message says why.
        """
        if any(process.runs for process in self._processes):
            return
        process = self._free.get()  # each is starting, if none is free
        try:
            process.start()
        except OverloadedError as error:
            raise NotReadyError(
                f"Cannot start a decoder: {error.__cause__}. The log has details."
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
    ) -> Iterator[Outcome]:
        """Decode a request's images in order, each to its pixels or its refusal.

        Raises:
            ServingError: too many pixels in total, no free decoder in time, too many bytes waiting
                for one, or `is_abandoned()` before an image is decoded.
        """
        pixels = held = 0
        left = _TimeBudget(self._wait, self._work)
        try:
            for place, upload in enumerate(uploads):
                gevent.sleep(0)  # many images must not starve other requests
                if is_abandoned():
                    raise HungUpError
                outcome = _decode_here(upload, left, resize=resize)
                if outcome is None:
                    held = held or self._hold(uploads[place:])
                    outcome = self._decode_there(upload, left, is_abandoned, resize=resize)
                yield outcome
                if isinstance(outcome, DecodedImage):
                    pixels += outcome.width * outcome.height
                if pixels > self._max_pixels:
                    raise TooLargeError(
                        f"The images have more than {self._max_pixels:,} pixels in total. "
                        "Send fewer or smaller images per request."
                    )
        finally:
            self._held -= held

    def _hold(self, uploads: Sequence[Upload]) -> int:
        """Count a request's bytes, which now wait for a process."""
        size = sum(len(upload.content) for upload in uploads)
        if self._held + size > self._max_held:
            raise _overloaded()
        self._held += size
        return size

    def _decode_there(
        self,
        upload: Upload,
        left: "_TimeBudget",
        is_abandoned: Callable[[], bool],
        *,
        resize: bool,
    ) -> Outcome:
        asked = time.monotonic()
        try:
            process: Process = self._free.get(timeout=max(0.0, left.wait))
        except Empty:
            raise _overloaded() from None
        left.wait -= time.monotonic() - asked
        try:
            if is_abandoned():
                raise HungUpError
            return _decode_in(process, upload, left, resize=resize)
        finally:
            self._free.put(process)


@dataclass
class _TimeBudget:
    """The seconds that a request may still wait for decoders, and that decoding may still take."""

    wait: float
    work: float


def _decode_here(upload: Upload, left: _TimeBudget, *, resize: bool) -> Outcome | None:
    """Decode an image at once if it is small; return None if it needs a process."""
    if not is_small(upload.content):
        return None
    if left.work <= 0:
        return _too_long(upload)
    begun = time.monotonic()
    try:
        return decode(upload.content, name=upload.name, resize=False)
    except ServingError as refusal:
        if resize and isinstance(refusal, ImageSizeError):
            return None
        # Without the traceback, whose frames keep the files in memory.
        return type(refusal)(*refusal.args)
    finally:
        left.work -= time.monotonic() - begun


def _decode_in(process: Process, upload: Upload, left: _TimeBudget, *, resize: bool) -> Outcome:
    if left.work <= 0:
        return _too_long(upload)
    try:
        [outcome], seconds = process.decode(
            [upload.content], name=upload.name, resize=resize, limit=left.work
        )
    except DecoderTimeoutError:
        left.work = 0
        return _too_long(upload)
    except DecoderCrashError as crash:
        left.work -= crash.seconds
        logger.warning("a decoder crashed on an image of %d bytes", len(upload.content))
        return BrokenImageError(f"{upload.name} is broken: it crashed its decoder. Save it again.")
    left.work -= seconds
    return outcome


def _overloaded() -> OverloadedError:
    return OverloadedError("Too many images are waiting to be decoded. Retry in a second.")


def _too_long(upload: Upload) -> TooLargeError:
    return TooLargeError(
        f"{upload.name} takes too long to decode. Send a smaller or simpler image, or fewer per "
        "request."
    )
