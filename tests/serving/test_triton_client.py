"""Triton's own clients, sync and async, with every option that the service takes."""

import asyncio
import io
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pytest
import requests
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from PIL import Image
from tritonclient.utils import InferenceServerException

from models.record import CLASSES
from tests.helpers import MODELS, SHIP, png, run_server, upload
from tests.serving.inference import image_input

CONTENT = SHIP.read_bytes()


class Waiting:
    """The async client, each of whose calls is waited for: both are asked alike."""

    def __init__(self, runner: asyncio.Runner, address: str) -> None:
        async def start() -> Any:
            return triton_aio.InferenceServerClient(address)

        self._runner = runner
        self._client = runner.run(start())

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        return lambda *args, **options: self._runner.run(method(*args, **options))


@pytest.fixture(params=["sync", "aio"])
def client(server: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    address = urlsplit(server).netloc
    with asyncio.Runner() as runner:
        client = (
            Waiting(runner, address)
            if request.param == "aio"
            else triton.InferenceServerClient(address)
        )
        yield client
        client.close()


def files_input(*files: bytes, columns: int | None = None) -> triton.InferInput:
    """Return files as the elements of a tensor [N], or [N, columns]."""
    shape = [len(files)] if columns is None else [len(files) // columns, columns]
    elements = np.array(files, dtype=np.object_).reshape(shape)
    tensor = triton.InferInput("image", shape, "BYTES")
    tensor.set_data_from_numpy(elements, binary_data=True)
    return tensor


def wanted(binary: bool, class_count: int = 0) -> list[triton.InferRequestedOutput]:
    return [
        triton.InferRequestedOutput("probabilities", binary_data=binary, class_count=class_count)
    ]


def photo() -> bytes:
    """Return a JPEG of 300×340 pixels."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(CONTENT)).convert("RGB").resize((300, 340)).save(buffer, "JPEG")
    return buffer.getvalue()


def predicted(server: str, *files: bytes, model: str = "first", query: str = "") -> Any:
    """Return what /predict answers to the files, [N, 10]."""
    response = requests.post(
        f"{server}/predict?model={model}{query}", files=upload(*(("a", file) for file in files))
    )
    response.raise_for_status()
    return [
        [p["models"][0]["probabilities"][name] for name in CLASSES]
        for p in response.json()["predictions"]
    ]


@pytest.mark.parametrize("binary", [True, False])
def test_classification_names_the_likeliest_classes(
    server: str, client: Any, binary: bool, image: npt.NDArray[np.uint8]
) -> None:
    ship = np.asarray(Image.open(io.BytesIO(CONTENT)).convert("RGB"))
    images = np.stack([ship, image])
    result = client.infer(
        "first", [image_input(images, binary=True)], outputs=wanted(binary, class_count=3)
    )
    texts = result.as_numpy("probabilities")
    assert texts.shape == (2, 3)
    assert result.get_output("probabilities")["datatype"] == "BYTES"
    labels = []
    for of_image, expected in zip(texts, predicted(server, png(ship), png(image)), strict=True):
        best = sorted(range(10), key=lambda place: -expected[place])[:3]
        found = [(t.decode() if binary else t).split(":") for t in of_image.tolist()]
        assert [(int(index), label) for _, index, label in found] == [
            (place, CLASSES[place]) for place in best
        ]
        np.testing.assert_allclose(
            [float(value) for value, _, _ in found], [expected[p] for p in best], atol=2e-5
        )
        labels.append(found[0][2])
    assert labels[0] == "ship"


def test_a_wrong_number_of_classes_is_refused(client: Any, image: npt.NDArray[np.uint8]) -> None:
    tensor = image_input(image[None], binary=True)
    for count, words in ((11, "from 0 .* to 10"), (-1, "or equal to 0"), (2.5, ""), ("three", "")):
        with pytest.raises(InferenceServerException, match=f"classification.*{words}"):
            client.infer("first", [tensor], outputs=wanted(True, class_count=count))  # type: ignore[arg-type]


def test_image_files_are_answered_as_predict_does(server: str, client: Any) -> None:
    jpeg = photo()
    for columns in (None, 1):
        result = client.infer(
            "second",
            [files_input(CONTENT, jpeg, columns=columns)],
            outputs=wanted(True),
        )
        np.testing.assert_allclose(
            result.as_numpy("probabilities"),
            predicted(server, CONTENT, jpeg, model="second"),
            atol=2e-5,
        )
    with pytest.raises(InferenceServerException, match=r"image\[1\] is 300×340.*resize"):
        client.infer("second", [files_input(CONTENT, jpeg)], parameters={"resize": False})
    with pytest.raises(InferenceServerException, match=r"image\[0\] is not an image"):
        client.infer("second", [files_input(b"no image")])
    with pytest.raises(InferenceServerException, match="at most 128"):
        client.infer("second", [files_input(*[b""] * 129)])


def test_the_other_options_do_no_harm(client: Any, image: npt.NDArray[np.uint8]) -> None:
    result = client.infer(
        "first",
        [image_input(image[None], binary=True)],
        model_version="1",
        request_id="7",
        sequence_id=3,
        sequence_start=True,
        sequence_end=True,
        priority=1,
        timeout=1_000_000,
        headers={"X-Request-ID": "8"},
        query_params={"any": "thing"},
        parameters={"own": "one", "number": 1.5},
    )
    assert result.get_response()["id"] == "7"
    assert result.as_numpy("probabilities").shape == (1, 10)  # binary where no output is named


def test_shared_memory_is_refused_explicitly(client: Any, image: npt.NDArray[np.uint8]) -> None:
    tensor = image_input(image[None], binary=True)
    [output] = wanted(True)
    output.set_shared_memory("region", 40)
    with pytest.raises(InferenceServerException, match=r"Shared memory .* probabilities"):
        client.infer("first", [tensor], outputs=[output])
    tensor.set_shared_memory("region", 3072)
    with pytest.raises(InferenceServerException, match=r"Shared memory .* image"):
        client.infer("first", [tensor])


def test_the_configuration_agrees_with_the_metadata(client: Any) -> None:
    for model in MODELS:
        config, metadata = client.get_model_config(model), client.get_model_metadata(model)
        assert config["name"] == metadata["name"] == model
        assert config["platform"] == metadata["platform"]
        assert config["max_batch_size"] == 128
        for ours, tensors in (("input", "inputs"), ("output", "outputs")):
            [described], [tensor] = config[ours], metadata[tensors]
            assert described["name"] == tensor["name"]
            assert described["data_type"] == f"TYPE_{tensor['datatype']}"
            assert [-1, *described["dims"]] == tensor["shape"]
        assert config["parameters"]["labels"]["string_value"].split(",") == list(CLASSES)
        assert "BYTES" in metadata["parameters"]["encoded_images"]
        assert client.get_model_config(model, metadata["versions"][-1]) == config
    with pytest.raises(InferenceServerException, match="version '9'"):
        client.get_model_config("first", "9")


def test_the_index_lists_every_version(server: str, client: Any) -> None:
    index = client.get_model_repository_index()
    records = requests.get(f"{server}/models").json()["models"]
    assert [(entry["name"], entry["version"]) for entry in index] == [
        (record["name"], str(record["version"])) for record in records
    ]
    assert {(entry["state"], entry["reason"]) for entry in index} == {("READY", "")}
    for change in (client.load_model, client.unload_model):
        with pytest.raises(InferenceServerException, match=r"'first'.*SIGHUP"):
            change("first")


def test_statistics_count_what_happened(client: Any, image: npt.NDArray[np.uint8]) -> None:
    def read() -> Any:
        [stats] = client.get_inference_statistics("final", "1")["model_stats"]
        assert (stats["name"], stats["version"]) == ("final", "1")
        return stats

    before = read()
    for size in (1, 3):
        images = np.stack([image] * size)
        client.infer("final", [image_input(images, binary=True)], model_version="1")
    with pytest.raises(InferenceServerException):
        client.infer("final", [files_input(b"no image")], model_version="1")
    after = read()
    assert after["inference_count"] - before["inference_count"] == 4
    assert after["execution_count"] - before["execution_count"] == 2
    assert after["last_inference"] > before["last_inference"]
    grown = {
        name: {
            key: after["inference_stats"][name][key] - before["inference_stats"][name][key]
            for key in ("count", "ns")
        }
        for name in after["inference_stats"]
    }
    assert grown["success"]["count"] == grown["queue"]["count"] == 2
    assert grown["compute_infer"]["count"] == 2
    assert grown["fail"]["count"] == 1
    assert 0 < grown["compute_infer"]["ns"] + grown["queue"]["ns"] < grown["success"]["ns"]
    assert grown["fail"]["ns"] > 0
    of_model = client.get_inference_statistics("final")["model_stats"]
    assert {stats["name"] for stats in of_model} == {"final"}
    assert len(of_model) > 1
    everything = client.get_inference_statistics()["model_stats"]
    assert {stats["name"] for stats in everything} == set(MODELS)


@pytest.mark.slow
@pytest.mark.usefixtures("_one_model")
def test_statistics_are_those_of_all_workers(image: npt.NDArray[np.uint8]) -> None:
    with run_server("--workers", "2") as address:
        for _ in range(6):  # each over a connection of its own, to either
            client = triton.InferenceServerClient(urlsplit(address).netloc)
            client.infer("first", [image_input(image[None], binary=True)], model_version="1")
            client.close()
        counts = set()
        for _ in range(6):
            client = triton.InferenceServerClient(urlsplit(address).netloc)
            [stats] = client.get_inference_statistics("first", "1")["model_stats"]
            counts.add(stats["inference_count"])
            client.close()
        assert counts == {6}
