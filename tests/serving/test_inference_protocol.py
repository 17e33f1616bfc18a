"""The Open Inference Protocol, spoken by Triton's own client."""

from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pytest
import requests
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from models.record import CLASSES
from tests.helpers import MODELS, check_problem, image_input, png, upload


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
    client: triton.InferenceServerClient, picture: npt.NDArray[np.uint8]
) -> None:
    good = image_input(picture[None], binary=True)
    with pytest.raises(InferenceServerException, match="no model 'third'; the models are first"):
        client.infer("third", [good])
    with pytest.raises(InferenceServerException, match="no version '9' of the model first"):
        client.infer("first", [good], model_version="9")
    with pytest.raises(InferenceServerException, match=r"shape \[1, 32, 3, 32\]"):
        client.infer("first", [image_input(picture[None].swapaxes(2, 3), binary=True)])
    many = np.zeros((129, 32, 32, 3), dtype=np.uint8)
    with pytest.raises(InferenceServerException, match="at most 128"):
        client.infer("first", [image_input(many, binary=True)])


def test_broken_requests_are_refused(server: str, picture: npt.NDArray[np.uint8]) -> None:
    url = f"{server}/v2/models/first/infer"
    good = {
        "name": "image",
        "datatype": "UINT8",
        "shape": [1, 32, 32, 3],
        "data": picture.ravel().tolist(),
    }
    nested = {**good, "data": picture[None].tolist()}
    assert requests.post(url, json={"inputs": [nested]}).status_code == 200
    for change, words in (
        ({"name": "picture"}, "'picture'"),
        ({"datatype": "FP32"}, "FP32"),
        ({"shape": [2, 32, 32, 3]}, "6144"),
        ({"shape": [-1, 32, 32, 3]}, "[-1, 32, 32, 3]"),
        ({"data": None}, "3072"),
        ({"data": [[1, 2], [3]]}, "3072"),
        ({"data": [256] * 3072}, "0 to 255"),
        ({"data": [0.5] * 3072}, "whole numbers"),
        ({"data": [10**30] * 3072}, "whole numbers"),
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
    many = {"inputs": [1] * 1_000_000}
    check_problem(requests.post(url, json=many), 400, "inputs", "at most 1")
    texts = {**good, "data": ["a" * 1_000_000, *[""] * 1_000_000]}
    check_problem(requests.post(url, json={"inputs": [texts]}), 400, "whole numbers")
