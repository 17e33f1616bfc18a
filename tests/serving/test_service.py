"""The service over the bundled models, through real HTTP."""

import io
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
import requests
from PIL import Image

from models.record import CLASSES, Record
from serving.app import create_app
from serving.settings import Settings
from tests.helpers import MODELS, ROOT, check_problem, png, upload

if TYPE_CHECKING:
    from training.data import Split


def test_each_image_gets_every_models_answer(server: str, image: npt.NDArray[np.uint8]) -> None:
    flipped = np.ascontiguousarray(image[::-1])
    response = requests.post(
        f"{server}/predict", files=upload(("one.png", png(image)), ("two.png", png(flipped)))
    )
    assert response.status_code == 200, response.text
    assert list(response.json()) == ["predictions"]
    predictions = response.json()["predictions"]
    assert [p["filename"] for p in predictions] == ["one.png", "two.png"]
    for prediction in predictions:
        assert (prediction["width"], prediction["height"]) == (32, 32)
        assert [m["model"] for m in prediction["models"]] == MODELS
        for model in prediction["models"]:
            probabilities = model["probabilities"]
            assert tuple(probabilities) == CLASSES
            assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
            assert model["confidence"] == max(probabilities.values())
            assert probabilities[model["class"]] == model["confidence"]
            record = requests.get(f"{server}/models/{model['model']}").json()
            assert model["test_accuracy"] == record["test_accuracy"]
    assert predictions[0]["models"] != predictions[1]["models"]


def test_the_body_may_be_the_image_itself(server: str, image: npt.NDArray[np.uint8]) -> None:
    sent = png(image)
    multipart = requests.post(f"{server}/predict", files=upload(("a.png", sent)))
    for headers in ({"Content-Type": "image/png"}, {}):
        raw = requests.post(f"{server}/predict", data=sent, headers=headers)
        [prediction] = raw.json()["predictions"]
        assert prediction["filename"] is None
        assert prediction["models"] == multipart.json()["predictions"][0]["models"]


def test_model_and_top_k_narrow_the_answer(server: str, image: npt.NDArray[np.uint8]) -> None:
    response = requests.post(
        f"{server}/predict",
        params=[("model", "second"), ("model", "first"), ("top_k", "3")],
        files=upload(("a.png", png(image))),
    )
    models = response.json()["predictions"][0]["models"]
    assert [m["model"] for m in models] == ["second", "first"]
    for model in models:
        shown = list(model["probabilities"].values())
        assert len(shown) == 3
        assert shown == sorted(shown, reverse=True)
        assert next(iter(model["probabilities"])) == model["class"]


def test_another_size_is_resampled_unless_that_is_off(
    server: str, image: npt.NDArray[np.uint8]
) -> None:
    wide = np.concatenate([image[:, :16] * 0, image, image[:, :16] * 0], axis=1)
    files = upload(("wide.png", png(wide)), ("a.png", png(image)))
    for query in ("", "?resize=true"):
        resampled, same = requests.post(f"{server}/predict{query}", files=files).json()[
            "predictions"
        ]
        assert (resampled["width"], resampled["height"]) == (64, 32)
        assert [resampled["resampled"], same["resampled"]] == [True, False]
        assert resampled["models"] == same["models"]  # its center, as it is
    answer = requests.post(f"{server}/predict?resize=false", files=files)
    check_problem(answer, 422, "wide.png", "64×32", "Omit resize=false")
    exact = requests.post(f"{server}/predict?resize=false", files=files[1:]).json()
    assert exact["predictions"] == [same]


def test_bad_requests_are_refused_with_a_sentence(
    server: str, image: npt.NDArray[np.uint8]
) -> None:
    url = f"{server}/predict"
    good = png(image)
    check_problem(requests.post(url), 400, "no image", "'image'")
    check_problem(requests.post(url, files=upload(("a.txt", b"hello"))), 400, "a.txt", "PNG")
    check_problem(requests.post(url, files=upload(("a.png", b""))), 400, "a.png is empty")
    headers = {"Content-Type": "text/plain"}
    check_problem(requests.post(url, data=good, headers=headers), 415, "text/plain", "image/png")
    check_problem(
        requests.post(f"{url}?model=third", files=upload(("a.png", good))), 404, "'third'", "first"
    )
    for version in ("9", "-1", "latest"):
        check_problem(
            requests.post(f"{url}?version={version}", files=upload(("a.png", good))),
            404,
            f"version '{version}'",
            "available versions",
        )
    for query in ("top_k=0", "top_k=1.0", "top_k=two", "resize=maybe"):
        check_problem(
            requests.post(f"{url}?{query}", files=upload(("a.png", good))), 400, query[:5]
        )
    check_problem(requests.get(url), 405, "POST")
    check_problem(requests.get(f"{server}/nothing"), 404)
    check_problem(requests.get(f"{server}/models/third"), 404, "'third'")


def test_too_much_is_refused(server: str, image: npt.NDArray[np.uint8]) -> None:
    url = f"{server}/predict"
    check_problem(requests.post(url, data=b"\0" * (Settings().max_body + 1)), 413, "8 MiB")
    many = [("a.png", png(image))] * (Settings().max_images + 1)
    check_problem(requests.post(url, files=upload(*many)), 413, str(Settings().max_images))


def test_records_and_curves(server: str) -> None:
    records = requests.get(f"{server}/models").json()["models"]
    assert list(dict.fromkeys(record["name"] for record in records)) == MODELS
    for record in records:
        Record.model_validate(record)
        url = f"{server}/models/{record['name']}"
        version = {"version": record["version"]}
        assert requests.get(url, params=version).json() == record
        curves = requests.get(f"{url}/curves.png", params=version)
        assert curves.headers["Content-Type"] == "image/png"
        Image.open(io.BytesIO(curves.content)).verify()


@pytest.fixture
def first_alone(tmp_path: Path) -> Path:
    """A models folder with one version, without its curves."""
    version = tmp_path / "first" / "1"
    shutil.copytree(
        ROOT / "models" / "first" / "1", version, ignore=shutil.ignore_patterns("curves.png")
    )
    return tmp_path


def test_a_version_without_its_curves_still_answers(first_alone: Path) -> None:
    client = create_app(Settings(models_dir=first_alone, provider="cpu")).test_client()
    missing = client.get("/models/first/curves.png")
    assert missing.status_code == 404
    assert missing.content_type == "application/problem+json"
    assert "first version 1 has no curves.png" in missing.get_json()["detail"]
    assert client.get("/models/first").status_code == 200


def test_a_model_of_another_name_is_served(first_alone: Path, image: npt.NDArray[np.uint8]) -> None:
    (first_alone / "mine").mkdir()
    version = (first_alone / "first" / "1").rename(first_alone / "mine" / "7")
    record = json.loads((version / "metadata.json").read_text())
    (version / "metadata.json").write_text(json.dumps({**record, "name": "mine", "version": 7}))
    client = create_app(Settings(models_dir=first_alone, provider="cpu")).test_client()
    answer = client.post("/predict?model=mine", data=png(image), content_type="image/png")
    [model] = answer.get_json()["predictions"][0]["models"]
    assert (model["model"], model["version"]) == ("mine", 7)


def test_a_limit_below_a_mebibyte_is_named(first_alone: Path) -> None:
    settings = Settings(models_dir=first_alone, provider="cpu", max_body=2**19)
    answer = create_app(settings).test_client().post("/predict", data=bytes(2**19 + 1))
    assert answer.status_code == 413
    assert "limits are 0.5 MiB" in answer.get_json()["detail"]


def test_the_newest_version_answers_unless_another_is_asked_for(
    server: str, image: npt.NDArray[np.uint8]
) -> None:
    files = upload(("a.png", png(image)))
    records = requests.get(f"{server}/models").json()["models"]
    newest = {name: max(r["version"] for r in records if r["name"] == name) for name in MODELS}
    [prediction] = requests.post(f"{server}/predict", files=files).json()["predictions"]
    assert {m["model"]: m["version"] for m in prediction["models"]} == newest
    [prediction] = requests.post(f"{server}/predict?version=1", files=files).json()["predictions"]
    assert [m["version"] for m in prediction["models"]] == [1, 1, 1]
    for model in prediction["models"]:
        record = requests.get(f"{server}/models/{model['model']}?version=1").json()
        assert model["test_accuracy"] == record["test_accuracy"]


def test_health(server: str) -> None:
    assert requests.get(f"{server}/health/live").status_code == 200
    assert requests.get(f"{server}/health/ready").status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("version", "names", "share", "tolerance"),
    [
        (2, MODELS, 1, 0.001),  # other processors round int8 results differently
        (1, ["first"], 1, 0.001),
        (1, ["second", "final"], 20, 0.05),  # of every 20th image, within what chance does
    ],
)
def test_the_test_set_gives_the_recorded_accuracy(
    server: str, test_set: "Split", version: int, names: list[str], share: int, tolerance: float
) -> None:
    places = np.arange(0, len(test_set.labels), share)

    def correct(batch: npt.NDArray[np.intp]) -> list[int]:
        """Count each model's right answers."""
        predictions: list[dict[str, Any]] = requests.post(
            f"{server}/predict",
            files=upload(*((f"{i}.png", png(test_set.images[i])) for i in batch)),
            params=[("top_k", "1"), ("version", str(version)), *(("model", n) for n in names)],
        ).json()["predictions"]
        assert [p["filename"] for p in predictions] == [f"{i}.png" for i in batch]
        return [
            sum(
                prediction["models"][place]["class"] == CLASSES[test_set.labels[i]]
                for i, prediction in zip(batch, predictions, strict=True)
            )
            for place in range(len(names))
        ]

    with ThreadPoolExecutor(2) as pool:
        counts = list(pool.map(correct, np.array_split(places, 100)))
    for name, right in zip(names, np.sum(counts, axis=0), strict=True):
        record = requests.get(f"{server}/models/{name}?version={version}").json()
        assert right / len(places) == pytest.approx(record["test_accuracy"], abs=tolerance)
