"""Images and parameters as JSON: the same answers as for a form, and the same limits."""

import base64
import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import requests

from serving.settings import Settings
from tests.helpers import check_problem, png, upload


@pytest.fixture
def file(image: npt.NDArray[np.uint8]) -> bytes:
    return png(image)


@pytest.fixture
def text(file: bytes) -> str:
    return base64.b64encode(file).decode()


def test_json_gets_the_answer_of_a_form(server: str, file: bytes, text: str) -> None:
    url = f"{server}/predict"
    parameters: dict[str, Any] = {"model": ["final", "first"], "version": "1", "top_k": 2}
    form = requests.post(url, params=parameters, files=upload(("", file), ("", file))).json()
    asked = {"images": [text, f"data:image/png;base64,{text}"], **parameters}
    answer = requests.post(url, json=asked)
    assert answer.status_code == 200, answer.text
    assert answer.json() == form
    [one] = requests.post(url, json={"image": text, **parameters, "version": 1}).json()[
        "predictions"
    ]
    assert one == form["predictions"][0]
    single = requests.post(url, json={"image": text, "model": "first"}).json()["predictions"]
    assert [model["model"] for model in single[0]["models"]] == ["first"]
    typed = {"details": True, "min_confidence": 1, "crop": True, "partial": True, "resize": False}
    query = {name: str(value) for name, value in typed.items()}
    assert requests.post(url, json={"image": text, **typed}).json() == (
        requests.post(url, params=query, data=file).json()
    )
    body = json.dumps({"image": text}).encode("utf-16")  # as PowerShell writes it
    headers = {"Content-Type": "application/json"}
    plain = requests.post(url, data=file).json()
    assert requests.post(url, data=body, headers=headers).json() == plain


def test_other_routes_take_one_image(server: str, file: bytes, text: str) -> None:
    for path, parameters in (("stability", {"images": True}), ("explanations", {})):
        url = f"{server}/{path}"
        answer = requests.post(url, json={"image": text, "model": "first", **parameters})
        query = {"model": "first", **dict.fromkeys(parameters, "true")}
        assert answer.json() == requests.post(url, params=query, data=file).json()
        check_problem(requests.post(url, json={"images": 2 * [text]}), 400, "image")


@pytest.mark.parametrize(
    ("members", "status", "words"),
    [
        ({}, 400, ["no image", '"image"']),
        ({"image": "x", "images": ["x"]}, 400, ["image and images"]),
        ({"images": []}, 400, ["images must be a non-empty list"]),
        ({"images": "x"}, 400, ["images must be a non-empty list"]),
        ({"image": ["x"]}, 400, ["image is not valid base64"]),
        ({"images": ["", 7]}, 400, ["images[1] is not valid base64"]),
        ({"image": "https://example.com/a.png"}, 400, ["image is a URL", "fetches none"]),
        ({"images": ["file:///etc/passwd"]}, 400, ["images[0] is a URL"]),
        ({"image": ""}, 400, ["image is empty"]),
        ({"image": "aGVsbG8="}, 400, ["image is not an image"]),
        ({"images": ["aGVsbG8="] * 129}, 413, ["129 files", "at most 128"]),
        ([], 400, ["not an object"]),
    ],
)
def test_what_is_no_image_is_refused(
    server: str, members: Any, status: int, words: list[str]
) -> None:
    check_problem(requests.post(f"{server}/predict", json=members), status, *words)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"topk": 1}, ["'topk'", "model, version, resize, top_k"]),
        ({"top_k": "1"}, ["top_k is '1'", "integer"]),
        ({"top_k": 0}, ["top_k is 0", "1"]),
        ({"resize": 1}, ["resize is 1", "'true' or 'false'"]),
        ({"min_confidence": 1.5}, ["min_confidence is 1.5"]),
        ({"model": 3}, ["model is 3"]),
        ({"version": 1.5}, ["version is 1.5"]),
    ],
)
def test_parameters_of_a_wrong_type_are_refused(
    server: str, text: str, parameters: dict[str, Any], words: list[str]
) -> None:
    asked = {"image": text, **parameters}
    check_problem(requests.post(f"{server}/predict", json=asked), 400, *words)


def test_a_parameter_stands_in_the_query_or_in_the_json(server: str, text: str) -> None:
    asked = {"image": text, "top_k": 1}
    assert requests.post(f"{server}/predict?version=1", json=asked).status_code == 200
    check_problem(requests.post(f"{server}/predict?top_k=1", json=asked), 400, "top_k", "query")


@pytest.mark.parametrize("element", [b"[[[]]]", b'{"":{}}', b"1"])
def test_json_is_bounded(server: str, element: bytes) -> None:
    def post(body: bytes) -> requests.Response:
        headers = {"Content-Type": "application/json"}
        return requests.post(f"{server}/predict", data=body, headers=headers)

    many = b",".join([element] * (10**6 // len(element)))
    check_problem(post(b'{"images": [' + many + b"]}"), 413, "more elements")
    check_problem(post(b" " * (Settings().max_body + 1)), 413, "8 MiB")
    check_problem(post(b'{"image": "'), 400, "Invalid JSON body")
