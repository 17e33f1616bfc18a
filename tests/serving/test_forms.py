"""Forms, headers and queries as real clients send them: read where it is clear what is meant."""

import base64

import numpy as np
import numpy.typing as npt
import pytest
import requests

from tests.helpers import check_problem, connect, png, upload

BOUNDARY = "a-boundary"
MULTIPART = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def part(head: bytes | str, content: bytes) -> bytes:
    head = head.encode() if isinstance(head, str) else head
    return b"--a-boundary\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (head, content)


def post(server: str, *parts: bytes, query: str = "") -> requests.Response:
    body = b"".join(parts) + b"--a-boundary--\r\n"
    return requests.post(f"{server}/predict{query}", data=body, headers=MULTIPART)


@pytest.fixture
def file(image: npt.NDArray[np.uint8]) -> bytes:
    return png(image)


@pytest.mark.parametrize(
    ("head", "filename"),
    [
        (b'name="image"; filename="Stra\xc3\x9fe.png"', "Straße.png"),
        (b'name="image"; filename="Stra\xdfe.png"', "Straße.png"),  # Latin-1
        (b'name="image"; filename="Preis in \x80.png"', "Preis in €.png"),  # Windows
        (b"name=\"image\"; filename*=UTF-8''Stra%C3%9Fe.png", "Straße.png"),  # RFC 5987
        (b"name=image; filename=a.png", "a.png"),
        (b'name="image"; filename="a \\"b\\".png"', 'a "b".png'),
        (b'name="image"; filename=""', None),
        (b'name="image"', None),
        (b'name="image"\r\nContent-Type: image/png', None),
    ],
)
def test_a_file_is_read_whatever_its_name(
    server: str, file: bytes, head: bytes, filename: str | None
) -> None:
    answer = post(server, part(head, file), part('name="image"; filename="b.png"', file))
    assert answer.status_code == 200, answer.text
    assert [p["filename"] for p in answer.json()["predictions"]] == [filename, "b.png"]


def test_inputs_without_a_file_do_not_count(server: str, file: bytes) -> None:
    empty = part('name="image"; filename=""\r\nContent-Type: application/octet-stream', b"")
    answer = post(server, empty, part('name="image"; filename="a.png"', file), empty)
    assert [p["filename"] for p in answer.json()["predictions"]] == ["a.png"]
    check_problem(post(server, empty), 400, "no file", "'image'")


def test_mistakes_are_named(server: str, file: bytes) -> None:
    url = f"{server}/predict"
    check_problem(post(server, part('name="image"', b"photo.png")), 400, "'photo.png'", "@")
    check_problem(post(server, part('name="image"', base64.b64encode(bytes(600_000)))), 415)
    answer = requests.post(url, data=file, headers={"Content-Type": "multipart/form-data"})
    check_problem(answer, 400, "no boundary")
    check_problem(requests.post(url, data=file, headers=MULTIPART), 400, "'a-boundary'")
    whole = part('name="image"; filename="a.png"', file)
    check_problem(requests.post(url, data=whole, headers=MULTIPART), 400, "Malformed", "part 1:")
    check_problem(post(server, part('name="note"', b"x" * 600_000), whole), 400, "'note'")
    check_problem(post(server, part('name="file"; filename="a.png"', file)), 400, "'file'")
    check_problem(post(server, *[part('name="image"', b"")] * 1000), 413, "parts")
    check_problem(post(server), 400, "no file")
    declared = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = requests.post(url, data=file, headers=declared)
    check_problem(answer, 415, "x-www-form-urlencoded", "-H 'Content-Type: image/png'")


@pytest.mark.parametrize(
    "mimetype",
    ["image/*", "image/pjpeg", "image/x-png", "image/tiff", "binary/octet-stream", "IMAGE/PNG"],
)
def test_an_image_is_what_its_bytes_are(server: str, file: bytes, mimetype: str) -> None:
    url = f"{server}/predict"
    raw = requests.post(url, data=file, headers={"Content-Type": mimetype})
    assert raw.status_code == 200, raw.text
    assert requests.post(url, files={"image": ("a", file, mimetype)}).status_code == 200


def test_parameters_may_be_fields_of_the_form(server: str, file: bytes) -> None:
    url, files = f"{server}/predict", upload(("a.png", file))
    fields = {"model": ["first", "final"], "version": "1", "top_k": "2", "resize": "True"}
    by_form = requests.post(url, files=files, data=fields)
    assert by_form.status_code == 200, by_form.text
    assert by_form.json() == requests.post(url, files=files, params=fields).json()
    assert [m["model"] for m in by_form.json()["predictions"][0]["models"]] == ["first", "final"]
    same = requests.post(f"{url}?version=1", files=files, data={"version": "1"})
    assert same.status_code == 200
    answer = requests.post(f"{url}?version=1", files=files, data={"version": "2"})
    check_problem(answer, 400, "version", "'1'", "'2'")


@pytest.mark.parametrize("value", ["True", "TRUE", "true"])
def test_true_is_true_however_it_is_written(server: str, value: str) -> None:
    large = png(np.zeros((40, 40, 3), dtype=np.uint8))
    query = f"resize={value}&crop={value}"
    answer = requests.post(f"{server}/predict?{query}", files=upload(("a.png", large)))
    assert "crop" in answer.json()["predictions"][0]


@pytest.mark.parametrize("query", ["topk=1", "models=first", "Resize=true", "model[]=first"])
def test_unknown_parameters_are_refused(server: str, file: bytes, query: str) -> None:
    known = ("model, version, resize, top_k, ", query.split("=", maxsplit=1)[0])
    files = upload(("a.png", file))
    check_problem(requests.post(f"{server}/predict?{query}", files=files), 400, *known)
    name, _, value = query.partition("=")
    answer = requests.post(f"{server}/predict", files=files, data={name: value})
    check_problem(answer, 400, *known)
    for path in ("/models", "/models/first", "/models/first/curves.png"):
        check_problem(requests.get(f"{server}{path}?{query}"), 400, name)


def test_a_slash_at_the_end_changes_nothing(server: str, file: bytes) -> None:
    answer = requests.post(
        f"{server}/predict/", files=upload(("a.png", file)), allow_redirects=False
    )
    assert answer.status_code == 200
    for path in ("/v2/", "/v2/models/first/", "/models/", "/health/live/"):
        assert requests.get(f"{server}{path}", allow_redirects=False).status_code == 200
    for path in ("/nothing", "/models//first", "/models/first/nothing"):
        check_problem(requests.get(f"{server}{path}"), 404, path, "/predict", "/docs/")


def test_partial_answers_each_image_or_its_problem(server: str, file: bytes) -> None:
    large = png(np.zeros((40, 40, 3), dtype=np.uint8))
    files = upload(("a.png", file), ("b.txt", b"text"), ("c.png", large), ("d.png", file))
    whole = requests.post(f"{server}/predict", files=files)
    check_problem(whole, 400, "b.txt")
    answer = requests.post(f"{server}/predict?partial=true&resize=false", files=files)
    assert answer.status_code == 200, answer.text
    first, text, too_large, last = answer.json()["predictions"]
    assert [first["filename"], last["filename"]] == ["a.png", "d.png"]
    assert first["models"] == last["models"]
    assert len(first["models"]) == 3
    assert text["problem"] == whole.json()
    assert too_large["problem"]["status"] == 422
    assert "c.png" in too_large["problem"]["detail"]
    none = requests.post(f"{server}/predict?partial=true", files=upload(("b.txt", b"text")))
    assert [list(p) for p in none.json()["predictions"]] == [["filename", "problem"]]


def test_a_large_file_is_read_whole(server: str, file: bytes) -> None:
    padded = file + b"\r\n--a-boundar" * 200_000  # what follows an image is ignored
    answer = post(server, part('name="image"; filename="a.png"', padded))
    plain = post(server, part('name="image"; filename="a.png"', file))
    assert answer.json() == plain.json()


@pytest.mark.parametrize(
    "head",
    [
        "GET {server}/health/live HTTP/1.1\r\nConnection: close",  # as for a proxy, RFC 9112 3.2.2
        "GET /health/live HTTP/1.1\r\nConnection: close, TE\r\nTE: trailers",
        "\r\nGET /health/live HTTP/1.1\r\nConnection: close",
    ],
)
def test_odd_heads_are_answered(server: str, head: str) -> None:
    with connect(server) as connection:
        connection.sendall(f"{head.format(server=server)}\r\nHost: x\r\n\r\n".encode())
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
