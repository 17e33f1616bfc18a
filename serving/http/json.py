"""JSON bodies: encoding, limits and embedded files."""

import base64
import binascii
import json
import re
import string

from serving.errors import BadRequestError, TooLargeError

OTHER_ELEMENTS = 1000  # lists, objects and commas allowed in a request besides its images'

_WHITESPACE = string.whitespace.encode()  # between lines of base64
_URL = re.compile(r"(?!data:)[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def read_json(content: bytes, too_many: str, *, lists: int = 0, commas: int = 0) -> bytes:
    """Return a request's JSON as UTF-8, if it is cheap to parse.

    Parsing takes far more time and memory for a list or a number than for a byte of text.

    Raises:
        BadRequestError: it is not valid in its apparent encoding.
        TooLargeError: it has more than `lists` lists and objects, or `commas` commas, plus
            OTHER_ELEMENTS; `too_many` is the message.
    """
    # PowerShell 5.1 and Notepad write UTF-8 with a BOM, or UTF-16.
    if (encoding := json.detect_encoding(content)) != "utf-8":
        try:
            content = content.decode(encoding).encode()
        except UnicodeError as error:
            raise BadRequestError(
                f"The request's JSON is not valid {encoding.upper()}: {error}. Send it as UTF-8."
            ) from error
    if (
        content.count(b"[") + content.count(b"{") > lists + OTHER_ELEMENTS
        or content.count(b",") > commas + OTHER_ELEMENTS
    ):
        raise TooLargeError(too_many)
    return content


def read_base64(text: object, name: str) -> bytes:
    """Return a file from base64 or a data URL.

    Raises:
        BadRequestError: it is neither; the message calls it `name`.
    """
    try:
        if isinstance(text, str | bytes):
            content = text.encode() if isinstance(text, str) else text
            if content.startswith(b"data:"):
                content = content.partition(b",")[2]
            return base64.b64decode(content.translate(None, _WHITESPACE), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        pass
    if isinstance(text, str) and _URL.match(text):
        raise BadRequestError(
            f"{name} is a URL; the service fetches none. Send the file's bytes as base64."
        )
    raise BadRequestError(
        f"{name} is not valid base64 (RFC 4648, section 4). Send the file's bytes as base64."
    )
