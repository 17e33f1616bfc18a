"""Decodes the images of requests where they hold up nobody."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import gevent
from gevent.threadpool import ThreadPool
from gevent.util import wrap_errors

from serving.errors import OverloadedError, ServingError, TooLargeError
from serving.images import MAX_PIXELS, DecodedImage, decode

INLINE_LIMIT = 2**14  # bytes; a plain image of 32 by 32 pixels has up to 4,000


@dataclass(frozen=True)
class Upload:
    """An image as it was sent; `name` is what refusals call it."""

    filename: str | None
    name: str
    content: bytes


class Decoders:
    """A few threads for the images that take long, and the memory that they may take at once."""

    def __init__(self, threads: int, timeout: float) -> None:
        self._pool = ThreadPool(threads)
        self._timeout = timeout  # seconds until a thread is free

    def decode(self, uploads: Iterable[Upload], *, resize: bool) -> list[DecodedImage]:
        """Decode the images of a request, in order, up to the first that is refused.

        Raises:
            ServingError: as images.decode(), too many pixels together, or no thread in time.
        """
        images = []
        for outcome in self.decode_each(uploads, resize=resize):
            if isinstance(outcome, ServingError):
                raise outcome
            images.append(outcome)
        return images

    def decode_each(
        self, uploads: Iterable[Upload], *, resize: bool
    ) -> Iterator[DecodedImage | ServingError]:
        """Decode each image of a request, in order, to its pixels or its refusal.

        Raises:
            ServingError: too many pixels together, or no thread in time.
        """
        pixels = 0
        for upload in uploads:
            gevent.sleep(0)  # so that many images leave the loop to others
            try:
                image = self._decode(upload, resize=resize)
            except OverloadedError:
                raise
            except ServingError as refusal:
                yield refusal
                continue
            yield image
            pixels += image.width * image.height
            if pixels > MAX_PIXELS:
                raise TooLargeError(
                    f"The pictures have more than {MAX_PIXELS:,} pixels together. "
                    "Send fewer or smaller ones at a time."
                )

    def _decode(self, upload: Upload, *, resize: bool) -> DecodedImage:
        if len(upload.content) <= INLINE_LIMIT and not resize:
            return decode(upload.content, name=upload.name, resize=resize)
        busy = OverloadedError("Too many large pictures at once. Send it again in a second.")
        # So that gevent logs no refusal as its own error.
        decode_or_refuse = wrap_errors(ServingError, decode)
        with gevent.Timeout(self._timeout, busy):
            task = self._pool.spawn(
                decode_or_refuse, upload.content, name=upload.name, resize=resize
            )
        image: DecodedImage | ServingError = task.get()
        if isinstance(image, ServingError):
            raise image
        return image
