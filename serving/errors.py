"""What goes wrong below the routes, and the HTTP status that each becomes."""

from http import HTTPStatus


class StartError(Exception):
    """The service cannot start; the message says which file or setting is at fault."""


class ServingError(Exception):
    """A request that gets no answer; the message tells the client why, and what to do."""


class BadRequestError(ServingError):
    """A parameter, header or body that is malformed."""


class BrokenImageError(ServingError):
    """Bytes that are no image, or a broken one."""


class UnauthorizedError(ServingError):
    """A request without an API key, or with a wrong one."""


class UnsupportedTypeError(ServingError):
    """A media type or image format that is not read."""


class UnsupportedCodingError(UnsupportedTypeError):
    """A Content-Encoding that is not read."""


class ImageSizeError(ServingError):
    """An image that is not of the models' size, where resizing was not asked for."""


class TooLargeError(ServingError):
    """More bytes, images or pixels than are accepted in one request."""


class NotFoundError(ServingError):
    """There is no such thing."""


class UnknownModelError(NotFoundError):
    """There is no such model or version; the message names the ones there are."""


class OverloadedError(ServingError):
    """A queue is full; the same request may be answered a second later."""


class ModelError(ServingError):
    """A model failed on a batch; the message names it."""


class SlowRequestError(ServingError):
    """A body that did not come in in time."""


class NoRoomError(ServingError):
    """A body that could not be kept: the disk for temporary files is full."""


class NotReadyError(ServingError):
    """The service should be sent no requests now."""


STATUSES: dict[type[ServingError], HTTPStatus] = {
    BadRequestError: HTTPStatus.BAD_REQUEST,
    BrokenImageError: HTTPStatus.BAD_REQUEST,
    UnauthorizedError: HTTPStatus.UNAUTHORIZED,
    NotFoundError: HTTPStatus.NOT_FOUND,
    SlowRequestError: HTTPStatus.REQUEST_TIMEOUT,
    TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnsupportedTypeError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    ImageSizeError: HTTPStatus.UNPROCESSABLE_ENTITY,
    OverloadedError: HTTPStatus.SERVICE_UNAVAILABLE,
    ModelError: HTTPStatus.SERVICE_UNAVAILABLE,
    NoRoomError: HTTPStatus.SERVICE_UNAVAILABLE,
    NotReadyError: HTTPStatus.SERVICE_UNAVAILABLE,
}
HEADERS: dict[type[ServingError], dict[str, str]] = {
    OverloadedError: {"Retry-After": "1"},  # seconds
    UnauthorizedError: {"WWW-Authenticate": "Bearer"},
    UnsupportedCodingError: {"Accept-Encoding": "gzip, deflate"},
}
