"""Reads a request's images and form fields, or says exactly what is wrong with them.

If werkzeug's multipart parser cannot read one part of a form, it silently drops them all; the
library `multipart` reports the error, and reads small forms as fast.
"""

from collections.abc import Sized
from typing import Any, TypeVar

import orjson
from flask import request
from multipart import MultipartError, MultipartSegment, PushMultipartParser
from werkzeug.datastructures import MultiDict
from werkzeug.http import parse_options_header

from serving.errors import BadRequestError, TooLargeError, UnsupportedTypeError
from serving.http.json import read_base64, read_json
from serving.http.parameters import Parameters, Sent
from serving.images.decode import ACCEPTED, Upload

P = TypeVar("P", bound=Parameters)

FIELD = "image"
FIELDS = "images"  # of JSON
FORM = "multipart/form-data"
JSON = "application/json"
OCTET_STREAMS = frozenset({"application/octet-stream", "binary/octet-stream"})
MAX_FIELDS = 64  # in a form, besides its images
MAX_TEXT = 1000  # bytes in a parameter, or in text that looks like a file name
_HOW = f"curl -F {FIELD}=@photo.png"
_JSON_HOW = f'Send {{"{FIELD}": "<base64>"}}, or {{"{FIELDS}": ["<base64>"]}} to /predict.'


def read_uploads(max_images: int, kind: type[P]) -> tuple[list[Upload], P]:
    """Return the request's images, in order, and its parameters from the query and the body.

    Raises:
        ServingError: there are no images or too many, the body does not match its Content-Type,
            or a parameter is invalid or unknown to `kind`.
    """
    fields: Sent = MultiDict()
    members: dict[str, Any] = {}
    if request.mimetype == FORM:
        uploads, fields = _read_form(max_images)
    elif request.mimetype == JSON:
        uploads, members = _read_json(max_images, kind)
    else:
        uploads = [_read_body()]
    sent = MultiDict([*request.args.items(multi=True), *fields.items(multi=True)])
    parameters = kind.read(sent, members, also=f" Send images in the field {FIELD!r}.")
    if not uploads:
        found = ", ".join(map(repr, fields)) or "none"
        raise BadRequestError(
            f"The field {FIELD!r} has no file ({_HOW}); other fields sent: {found}."
        )
    return uploads, parameters


def _read_form(max_images: int) -> tuple[list[Upload], Sent]:
    """Return the images, in order, and the form's other fields."""
    uploads: list[Upload] = []
    fields: Sent = MultiDict()
    for segment, content in _read_parts(max_images + MAX_FIELDS):
        name = _decode_text(segment.name or "")
        if name != FIELD:
            text = content[: MAX_TEXT + 1].decode(errors="replace")
            if len(content) > MAX_TEXT:
                text = f"{text[:20]}…"  # not a valid value of any parameter
            fields.add(name, text)
        elif upload := _read_file(segment, content):
            uploads.append(upload)
    _check_count(uploads, max_images)
    return uploads, fields


def _check_count(files: Sized, most: int) -> None:
    if len(files) > most:
        raise TooLargeError(
            f"There are {len(files)} files; at most {most} are accepted in one request."
        )


def _read_json(max_images: int, kind: type[Parameters]) -> tuple[list[Upload], dict[str, Any]]:
    """Return the images, in order, and the JSON's other members."""
    content = read_json(
        request.get_data(cache=False),
        f"The request's JSON has more elements than {max_images} images need.",
        commas=2 * max_images,  # one is in each data URL
    )
    try:
        members = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise BadRequestError(f"Invalid JSON body: {error}.") from error
    if not isinstance(members, dict):
        raise BadRequestError(f"The request's JSON is not an object. {_JSON_HOW}")
    several = FIELDS not in kind.model_fields
    named = [name for name in ((FIELD, FIELDS) if several else (FIELD,)) if name in members]
    if len(named) != 1:
        raise BadRequestError(
            f"The request's JSON has {' and '.join(named) or 'no image'}. {_JSON_HOW}"
        )
    sent = members.pop(named[0])
    if named == [FIELD]:
        return [Upload(None, FIELD, read_base64(sent, FIELD))], members
    if not isinstance(sent, list) or not sent:
        raise BadRequestError(f"{FIELDS} must be a non-empty list of images. {_JSON_HOW}")
    _check_count(sent, max_images)
    names = [f"{FIELDS}[{place}]" for place in range(len(sent))]
    return [
        Upload(None, name, read_base64(text, name)) for name, text in zip(names, sent, strict=True)
    ], members


def _read_parts(most: int) -> list[tuple[MultipartSegment, bytes]]:
    boundary = request.mimetype_params.get("boundary")
    if not boundary:
        raise BadRequestError(
            f"The Content-Type header, {FORM}, has no boundary. Let the client set the header "
            "itself, as curl -F, requests' files= and a browser's FormData do."
        )
    parts: list[tuple[MultipartSegment, bytes]] = []
    pieces: list[bytes] = []
    try:
        # Latin-1 reads any file name; _decode_text() finds its real encoding.
        parser = PushMultipartParser(boundary, header_charset="latin-1")
        for event in parser.parse_blocking(request.stream.read):
            if isinstance(event, MultipartSegment):
                if len(parts) == most:
                    raise TooLargeError(
                        f"The form has more than {most} parts: at most {most - MAX_FIELDS} files "
                        f"and {MAX_FIELDS} other fields are accepted in one request."
                    )
                parts.append((event, b""))
                pieces = []
            elif event is None:
                parts[-1] = (parts[-1][0], b"".join(pieces))
            else:
                pieces.append(event)
    except (MultipartError, UnicodeError) as error:
        if parts:
            raise BadRequestError(
                f"Malformed multipart body after part {len(parts)}: {error}."
            ) from error
        raise BadRequestError(
            f"Malformed multipart body: {error}. The Content-Type header has the boundary "
            f"{boundary!r}; let the client set both ({_HOW})."
        ) from error
    return parts


def _read_file(segment: MultipartSegment, content: bytes) -> Upload | None:
    """Return a part's image; None if no file was chosen in a browser's form."""
    filename = segment.filename
    disposition = segment.header("Content-Disposition", "")
    if "filename*" in disposition:
        filename = parse_options_header(disposition)[1].get("filename")
    if filename:
        filename = _decode_text(filename)
        return Upload(filename, filename, content)
    if not content:
        return None
    if filename is None and segment.content_type is None and (text := _as_words(content)):
        raise BadRequestError(
            f"The field {FIELD!r} has the text {text!r} instead of a file; "
            f"with curl, put @ before the file's name: -F {FIELD}=@{text}"
        )
    return Upload(None, f"The file in the field {FIELD!r}", content)


def _as_words(content: bytes) -> str | None:
    """Return short, printable text, such as a file name; None for anything else."""
    try:
        text = content[: MAX_TEXT + 1].decode().strip()
    except UnicodeDecodeError:
        return None
    return text if len(content) <= MAX_TEXT and text.isprintable() else None


def _decode_text(text: str) -> str:
    """Decode a name that was read as Latin-1 as UTF-8, or else as Windows-1252."""
    if text.isascii():
        return text
    try:
        content = text.encode("latin-1")
    except UnicodeEncodeError:  # from filename*, which names its charset
        return text
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _read_body() -> Upload:
    mimetype = request.mimetype
    body = request.get_data(cache=False)
    if not body:
        raise BadRequestError(
            f"The request has no image: send one as the body, or as {FORM} in the field "
            f"{FIELD!r} ({_HOW})."
        )
    if not mimetype or mimetype in OCTET_STREAMS or mimetype.startswith("image/"):
        return Upload(None, "The request's body", body)  # its bytes tell its format
    declared = f"The Content-Type is {mimetype}"
    if mimetype == "application/x-www-form-urlencoded":
        raise UnsupportedTypeError(
            f"{declared}, curl's default: add -H 'Content-Type: image/png' to --data-binary, or "
            f"send a form ({_HOW})."
        )
    raise UnsupportedTypeError(
        f"{declared}; send a {ACCEPTED} image with its own type (such as image/png), as {FORM} "
        f"({_HOW}) or, in base64, as {JSON}."
    )
