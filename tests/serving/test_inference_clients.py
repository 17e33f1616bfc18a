"""What KServe's, MLServer's and Triton's clients send, replayed.

kserve 0.21 and mlserver 1.7 need other versions of what this project pins, and perf_analyzer 2.50
CUDA's libraries; these are their requests, as they sent them when they were tried by hand.
"""

import base64
from typing import Any

import numpy as np
import pytest
import requests

from tests.helpers import SHIP
from tests.serving.inference import post_binary

CONTENT = SHIP.read_bytes()
TEXT = base64.b64encode(CONTENT).decode()
ID = "6edf4baa-196a-4595-a8a2-0d881f338688"


@pytest.fixture
def url(server: str) -> str:
    return f"{server}/v2/models/first"


def check_ship(response: requests.Response) -> None:
    assert response.status_code == 200, response.text
    [output] = response.json()["outputs"]
    assert output["datatype"] == "FP32"
    probabilities = np.reshape(output["data"], output["shape"])
    assert (probabilities.argmax(axis=1) == 8).all()


def element(content: bytes) -> bytes:
    return len(content).to_bytes(4, "little") + content


def test_kserves_client(url: str) -> None:
    """InferenceRESTClient.infer(), with JSON and with set_data_from_numpy(binary_data=True)."""
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES"}
    asked: dict[str, Any] = {
        "id": ID,
        "model_name": "first",
        "inputs": [{**tensor, "data": [TEXT]}],
    }
    check_ship(requests.post(f"{url}/infer", json=asked))
    content = element(CONTENT)
    asked["inputs"] = [{**tensor, "parameters": {"binary_data_size": len(content)}}]
    response = post_binary(f"{url}/infer", asked, content)
    check_ship(response)
    assert response.json()["id"] == ID
    asked["outputs"] = [{"name": "probabilities", "parameters": {"classification": 2}}]
    asked["parameters"] = {"own": 1}
    [output] = post_binary(f"{url}/infer", asked, content).json()["outputs"]
    assert output["shape"] == [1, 2]
    assert output["data"][0].endswith(":8:ship")


def test_mlservers_codecs(url: str) -> None:
    """InferenceRequest(inputs=[Base64Codec.encode_input(...)]).model_dump_json()."""
    tensor = {
        "name": "image",
        "shape": [2, 1],
        "datatype": "BYTES",
        "parameters": {"content_type": "base64", "headers": None},
        "data": [TEXT, TEXT],
    }
    asked = {"id": None, "parameters": None, "inputs": [tensor], "outputs": None}
    check_ship(requests.post(f"{url}/infer", json=asked))


def test_mlserver_infer_with_binary_data(url: str) -> None:
    """Its elements stay base64, and the parameter that says so is lost."""
    content = element(TEXT.encode())
    parameters = {"binary_data_size": len(content)}
    tensor = {"name": "image", "shape": [1, 1], "datatype": "BYTES", "parameters": parameters}
    asked = {"id": ID, "inputs": [tensor]}
    check_ship(post_binary(f"{url}/infer", asked, content))


def test_perf_analyzer(server: str, url: str) -> None:
    """Its calls in their order, and the fields that it reads."""
    assert "statistics" in requests.get(f"{server}/v2").json()["extensions"]
    metadata = requests.get(url).json()
    config = requests.get(f"{url}/config").json()
    assert config["max_batch_size"] >= 2
    assert "dynamic_batching" in config
    assert config["model_transaction_policy"]["decoupled"] is False
    [of_config], [of_metadata] = config["input"], metadata["inputs"]
    assert of_config["name"] == of_metadata["name"]
    assert of_config["optional"] is False
    _, *shape = of_metadata["shape"]  # without the batch's side, since max_batch_size is positive

    before = stats(url)
    content = bytes(2 * np.prod(shape))
    asked = {
        "inputs": [
            {
                "name": of_metadata["name"],
                "datatype": of_metadata["datatype"],
                "shape": [2, *shape],
                "parameters": {"binary_data_size": len(content)},
            }
        ],
        "outputs": [{"name": metadata["outputs"][0]["name"], "parameters": {"binary_data": True}}],
    }
    response = post_binary(f"{url}/infer", asked, content)
    length = int(response.headers["Inference-Header-Content-Length"])
    assert len(response.content) == length + 2 * 10 * 4
    after = stats(url)
    assert after["inference_count"] == before["inference_count"] + 2
    assert after["execution_count"] == before["execution_count"] + 1


def stats(url: str) -> dict[str, Any]:
    read = {"success", "queue", "compute_input", "compute_infer", "compute_output"}
    newest: dict[str, Any] = requests.get(f"{url}/stats").json()["model_stats"][0]
    assert set(newest["inference_stats"]) >= read | {"cache_hit", "cache_miss"}
    for duration in newest["inference_stats"].values():
        assert {type(duration["count"]), type(duration["ns"])} == {int}
    # It ends with an error where these differ.
    computed = {n["count"] for s, n in newest["inference_stats"].items() if s.startswith("compute")}
    assert computed == {newest["execution_count"]}
    return newest
