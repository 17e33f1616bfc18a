"""Domain errors; `http.problems` turns them into responses."""

import os
import socket


class StartError(Exception):
    """The service cannot start; the message says which file or setting is at fault."""


class AddressError(StartError):
    """The service cannot listen on its address."""

    def __init__(self, host: str, port: int, error: OSError) -> None:
        # gevent adds the address to `strerror`; an unknown host name has no errno.
        known = not isinstance(error, socket.gaierror) and error.errno
        super().__init__(
            f"cannot listen on {host}:{port}: {os.strerror(known) if known else error.strerror}; "
            "set --host or SERVING_HOST, --port or SERVING_PORT"
        )


class ServingError(Exception):
    """A request is refused or fails; the message says why and what to do."""


class BadRequestError(ServingError):
    """A malformed parameter, header or body."""


class BrokenImageError(ServingError):
    """Bytes that are not an image, or a broken image."""


class FolderError(BrokenImageError):
    """A folder instead of an image file."""


class UnauthorizedError(ServingError):
    """A request without an API key, or with a wrong one."""


class UnsupportedTypeError(ServingError):
    """An unsupported media type or image format."""


class UnsupportedCodingError(UnsupportedTypeError):
    """An unsupported Content-Encoding."""


class ImageSizeError(ServingError):
    """An image that is not of the models' input size, sent with `resize` off."""


class TooLargeError(ServingError):
    """More bytes, images, pixels or decoding time than a request may take."""


class NotFoundError(ServingError):
    """The requested resource does not exist."""


class UnknownModelError(NotFoundError):
    """The requested model or version is not loaded; the message names the loaded ones."""


class OverloadedError(ServingError):
    """A queue is full or no decoder starts; the same request may succeed `seconds` later."""

    def __init__(self, message: str, seconds: float = 1) -> None:
        super().__init__(message)
        self.seconds = seconds


class ModelError(ServingError):
    """A model failed on a batch; the message names it."""


class SlowRequestError(ServingError):
    """A body that did not arrive in time."""


class HungUpError(ServingError):
    """A client that hung up before the work on its request began."""


class NoRoomError(ServingError):
    """A body could not be stored because temporary storage is full."""


class NotReadyError(ServingError):
    """The service is not ready for requests."""
