"""The Open Inference Protocol: its tensors, its errors, and what it says of models."""

import base64
import json
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pytest
import requests
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from models.record import CLASSES
from tests.helpers import MODELS, check_problem, png, upload
from tests.serving.inference import image_input, post_binary


@pytest.fixture
def client(server: str) -> triton.InferenceServerClient:
    return triton.InferenceServerClient(urlsplit(server).netloc)


def test_metadata_and_health(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.get_server_metadata()["extensions"] == [
        "binary_tensor_data",
        "classification",
        "model_configuration",
        "model_repository",
        "statistics",
    ]
    for model in MODELS:
        metadata = client.get_model_metadata(model)
        assert metadata["inputs"] == [
            {"name": "image", "datatype": "UINT8", "shape": [-1, 32, 32, 3]}
        ]
        assert metadata["outputs"] == [
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]}
        ]
        for version in metadata["versions"]:
            assert client.is_model_ready(model, version)
    assert not client.is_model_ready("third")


@pytest.mark.parametrize("size", [1, 64])
@pytest.mark.parametrize("binary", [True, False])
def test_inference_answers_as_predict_does(
    server: str, client: triton.InferenceServerClient, size: int, binary: bool
) -> None:
    images = np.random.default_rng(size).integers(0, 256, (size, 32, 32, 3), dtype=np.uint8)
    answer = requests.post(
        f"{server}/predict?version=1",
        files=upload(*(("a.png", png(image)) for image in images)),
    ).json()
    for place, model in enumerate(MODELS):
        result = client.infer(
            model,
            [image_input(images, binary=binary)],
            model_version="1",
            request_id="an id",
            outputs=[triton.InferRequestedOutput("probabilities", binary_data=binary)],
        )
        response = result.get_response()
        assert (response["model_name"], response["model_version"]) == (model, "1")
        assert response["id"] == "an id"
        probabilities = result.as_numpy("probabilities")
        assert probabilities.dtype == np.float32
        expected = [
            [prediction["models"][place]["probabilities"][name] for name in CLASSES]
            for prediction in answer["predictions"]
        ]
        np.testing.assert_allclose(probabilities, expected, atol=2e-5)


def test_errors_reach_the_client(
    client: triton.InferenceServerClient, image: npt.NDArray[np.uint8]
) -> None:
    good = image_input(image[None], binary=True)
    with pytest.raises(InferenceServerException, match="model 'third'; available models: first"):
        client.infer("third", [good])
    with pytest.raises(InferenceServerException, match="version '9' of model first"):
        client.infer("first", [good], model_version="9")
    with pytest.raises(InferenceServerException, match=r"shape \[1, 32, 3, 32\]"):
        client.infer("first", [image_input(image[None].swapaxes(2, 3), binary=True)])


def test_broken_requests_are_refused(server: str, image: npt.NDArray[np.uint8]) -> None:
    url = f"{server}/v2/models/first/infer"
    good = {
        "name": "image",
        "datatype": "UINT8",
        "shape": [1, 32, 32, 3],
        "data": image.ravel().tolist(),
    }
    nested = {**good, "data": image[None].tolist()}
    assert requests.post(url, json={"inputs": [nested]}).status_code == 200
    for change, words in (
        ({"name": "photo"}, "'photo'"),
        ({"datatype": "FP32"}, "FP32"),
        ({"shape": [2, 32, 32, 3]}, "6144"),
        # PyTorch's order, under the shape that the model takes.
        (
            {"data": image.transpose(2, 0, 1)[None].tolist()},
            "nested as [1, 3, 32, 32], but its shape is [1, 32, 32, 3]",
        ),
        ({"shape": [-1, 32, 32, 3]}, "[-1, 32, 32, 3]"),
        ({"data": None}, "3072"),
        ({"data": [[1, 2], [3]]}, "3072"),
        ({"parameters": {"binary_data_size": 3072}}, "0 bytes follow"),
    ):
        check_problem(requests.post(url, json={"inputs": [{**good, **change}]}), 400, words)
    crowd = {**good, "shape": [129, 32, 32, 3]}
    check_problem(requests.post(url, json={"inputs": [crowd]}), 413, "129 images", "at most 128")
    check_problem(requests.post(url, data=b"{"), 400, "JSON")
    check_problem(requests.post(url, json={"inputs": []}), 400, "'image'")
    check_problem(requests.post(url, json={"inputs": [good], "outputs": [{"name": "x"}]}), 400)
    for length in ("99", "-1", "two", "0" * 5000):
        header = {"Inference-Header-Content-Length": length}
        check_problem(requests.post(url, data=b"{}", headers=header), 400, "2 bytes")
    many = {"inputs": [1] * 1000}
    check_problem(requests.post(url, json=many), 400, "inputs", "at most 1")
    texts = {**good, "data": ["a" * 1_000_000, *[""] * 300_000]}
    check_problem(requests.post(url, json={"inputs": [texts]}), 400, "integers from 0 to 255")


def test_an_answer_quotes_little_of_a_request(server: str) -> None:
    url = f"{server}/v2/models/first/infer"
    long = "\x7f" * 8_000_000
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 32, 32, 3], "data": [0] * 3072}
    for asked in (
        {"inputs": [{**tensor, "name": long}]},
        {"inputs": [{**tensor, "datatype": long}]},
        {"inputs": [tensor], "id": long},
        {"inputs": [tensor], "parameters": {"binary_data_output": long}},
        {"inputs": [{**tensor, "parameters": {"binary_data_size": long}}]},
    ):
        # As bytes: json= would escape each character in six.
        answer = requests.post(url, data=json.dumps(asked, ensure_ascii=False).encode())
        check_problem(answer, 400)
        assert len(answer.content) < 20_000
    many = {**tensor, "shape": [10**4200, 32, 32, 3]}
    answer = requests.post(url, json={"inputs": [many]})
    check_problem(answer, 413, "image has 10")
    assert len(answer.json()["detail"]) == len(answer.json()["error"]) == 4001


@pytest.mark.parametrize("path", ["models/first/infer", "repository/index"])
@pytest.mark.parametrize("element", [b"[[[]]]", b'{"":{}}', b"1"])
def test_json_that_would_take_much_memory_is_not_parsed(
    server: str, path: str, element: bytes
) -> None:
    many = b",".join([element] * (8 * 10**6 // (len(element) + 1)))
    content = b'{"inputs": [{"name": "image", "data": [' + many + b"]}]}"
    answer = requests.post(f"{server}/v2/{path}", data=content)
    check_problem(answer, 413, "elements")


def test_as_many_images_as_a_request_takes_may_be_nested(
    server: str, image: npt.NDArray[np.uint8]
) -> None:
    tensor = {"name": "image", "datatype": "UINT8", "shape": [128, 32, 32, 3]}
    nested = {**tensor, "data": np.stack([image] * 128).tolist()}
    answer = requests.post(f"{server}/v2/models/first/infer", json={"inputs": [nested]})
    assert answer.json()["outputs"][0]["shape"] == [128, 10]


def test_null_is_what_is_left_out_and_whole_floats_are_numbers(
    server: str, image: npt.NDArray[np.uint8]
) -> None:
    url = f"{server}/v2/models/first/infer"
    plain = {"name": "image", "datatype": "UINT8", "shape": [1, 32, 32, 3]}
    data = image.ravel().tolist()
    expected = requests.post(url, json={"inputs": [{**plain, "data": data}]}).json()
    floats = {**plain, "shape": [1.0, 32.0, 32, 3.0], "data": [float(value) for value in data]}
    for tensor in (floats, {**floats, "parameters": None}):
        asked = {"id": None, "parameters": None, "outputs": None, "inputs": [tensor]}
        assert requests.post(url, json=asked).json() == expected
    named = {"inputs": [floats], "outputs": [{"name": "probabilities", "parameters": None}]}
    assert requests.post(url, json=named).json() == expected
    for value in (True, "7", 7.5, -1.0, 256.0, -1, None, [7], 10**30, 10**400):
        wrong = {**plain, "data": [value, *data[1:]]}
        check_problem(requests.post(url, json={"inputs": [wrong]}), 400, "integers from 0 to 255")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_json_is_read_in_any_unicode_encoding(
    server: str, image: npt.NDArray[np.uint8], encoding: str
) -> None:
    url = f"{server}/v2/models/first/infer"
    data = image.ravel().tolist()
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 32, 32, 3], "data": data}
    asked = json.dumps({"id": "東京", "inputs": [tensor]}, ensure_ascii=False)
    answer = requests.post(url, data=asked.encode(encoding))
    assert answer.json() == requests.post(url, data=asked.encode()).json()
    if encoding != "utf-8-sig":
        check_problem(requests.post(url, data=asked.encode(encoding)[:-1]), 400, encoding.upper())


def test_image_files_as_text(server: str, image: npt.NDArray[np.uint8]) -> None:
    url = f"{server}/v2/models/first/infer"
    small, wide = png(image), png(np.tile(image, (1, 2, 1)))
    text = base64.b64encode(small).decode()
    pixels = {"name": "image", "datatype": "UINT8", "shape": [1, 32, 32, 3]}
    data = image.ravel().tolist()
    expected = requests.post(url, json={"inputs": [{**pixels, "data": data}]}).json()
    file: dict[str, Any] = {"name": "image", "datatype": "BYTES", "shape": [1]}
    change: dict[str, Any]
    for change in (
        {"data": [text]},
        {"data": text},
        {"data": [base64.encodebytes(small).decode()]},  # in lines
        {"data": [f"data:image/png;base64,{text}"]},  # as browsers read files
        {"data": [text], "parameters": {"content_type": "base64"}},  # MLServer's
        {"data": [[text]], "shape": [1, 1]},
    ):
        response = requests.post(url, json={"inputs": [{**file, **change}]})
        assert response.json() == expected, change

    large = {**file, "data": [base64.b64encode(wide).decode()]}
    for value in (True, "true", "True"):
        parameters: dict[str, Any] = {"resize": value}
        for asked in (
            {"inputs": [{**large, "parameters": parameters}]},
            {"inputs": [large], "parameters": parameters},
        ):
            assert requests.post(url, json=asked).status_code == 200
    of_tensor = {"inputs": [{**large, "parameters": {"resize": False}}]}
    check_problem(requests.post(url, json={**of_tensor, "parameters": {"resize": True}}), 422)
    for wrong in (1, "yes", [True]):
        response = requests.post(url, json={"inputs": [large], "parameters": {"resize": wrong}})
        check_problem(response, 400, "resize", "'true' or 'false'")
    for change, status, words in (
        ({"data": ["no base64!"]}, 400, "image[0] is not valid base64"),
        ({"data": ["grün"]}, 400, "image[0] is not valid base64"),
        ({"data": [7]}, 400, "image[0] is not valid base64"),
        ({"data": [""]}, 400, "image[0] is empty"),
        ({"data": None, "shape": [2]}, 400, "1 elements, not 2"),
        ({"data": [text, text]}, 400, "2 elements, not 1"),
        ({"data": [[text, text]], "shape": [2, 1]}, 400, "nested as [1, 2]"),
        ({"shape": [1, 2]}, 400, "[N] or [N, 1]"),
        ({"shape": []}, 400, "[N] or [N, 1]"),
        ({"shape": [0], "data": []}, 400, "[N] or [N, 1]"),
        ({"shape": [129]}, 413, "129 images"),
    ):
        asked = {"inputs": [{**file, "data": [text], **change}]}
        check_problem(requests.post(url, json=asked), status, words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "there are only 0 elements"),
        (b"\0\0\0", "element 0 is cut off"),
        (b"\4\0\0\0abc", "element 0 is cut off"),
        (b"\xff\xff\xff\xff", "element 0 is cut off"),
        (b"\1\0\0\0a", "there are only 1 elements"),
        (b"\0\0\0\0" * 3, "4 bytes follow 2 elements"),
        (b"\0\0\0\0" * 2, "image[0] is empty"),
    ],
)
def test_broken_elements_are_refused(server: str, content: bytes, words: str) -> None:
    tensor = {"name": "image", "datatype": "BYTES", "shape": [2]}
    response = post_binary(
        f"{server}/v2/models/first/infer",
        {"inputs": [{**tensor, "parameters": {"binary_data_size": len(content)}}]},
        content,
    )
    check_problem(response, 400, words)


def test_a_body_may_be_nothing_but_pixels(server: str, image: npt.NDArray[np.uint8]) -> None:
    url = f"{server}/v2/models/first/infer"
    images = np.stack([image, image[::-1]])
    tensor = {"name": "image", "datatype": "UINT8", "shape": [2, 32, 32, 3]}
    asked = {
        "inputs": [{**tensor, "data": images.tolist()}],
        "parameters": {"binary_data_output": True},
    }
    raw = {"Inference-Header-Content-Length": "0"}
    response = requests.post(url, data=images.tobytes(), headers=raw)
    assert response.content == requests.post(url, json=asked).content
    assert int(response.headers["Inference-Header-Content-Length"]) < len(response.content)
    for size in (7, 3073):
        refused = requests.post(url, data=bytes(size), headers=raw)
        check_problem(refused, 400, f"{size} bytes are not a multiple", "3072")


def test_the_index_may_be_asked_for_in_several_ways(server: str) -> None:
    url = f"{server}/v2/repository/index"
    expected = requests.post(url).json()
    assert len(expected) >= len(MODELS)
    for asked in ({}, {"ready": True}, {"ready": False}, {"ready": None}):
        assert requests.post(url, json=asked).json() == expected
    check_problem(requests.post(url, json={"ready": "yes"}), 400, "ready")
    check_problem(requests.post(url, json=[]), 400, "object")
