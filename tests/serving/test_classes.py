"""Models of other classes than CIFAR-10's, 2 and more than 100 of them, beside a bundled one."""

import csv
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import requests
import tritonclient.http as triton
from click.testing import CliRunner

from models.record import CLASSES
from serving.__main__ import main
from serving.errors import StartError
from serving.inference.registry import load_classifiers
from serving.settings import Settings
from tests.helpers import ROOT, png, run_server, upload
from tests.serving.inference import image_input
from tests.tiny_models import of_class, onnx_of, write_model

TWO = ["<b>", "a, b"]
HUNDRED = ["日本", "x" * 200, *(f"class {place}" for place in range(98))]
MORE = [f"{place}" for place in range(101)]
MODELS = {"first": list(CLASSES), "hundred": HUNDRED, "more": MORE, "twin": TWO, "two": TWO}


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(ROOT / "models" / "first" / "1", folder / "first" / "1")
    write_model(folder, "hundred", HUNDRED)
    write_model(folder, "more", MORE)
    for name in ("twin", "two"):
        write_model(folder, name, TWO, confusion_matrix=[[90, 10], [30, 70]])
    return folder


@pytest.fixture(scope="module")
def log() -> list[str]:
    """The lines that `server` has logged so far."""
    return []


@pytest.fixture(scope="module")
def server(models_dir: Path, log: list[str]) -> Iterator[str]:
    with run_server("--models-dir", str(models_dir), log=log) as address:
        yield address


def checked(server: str, response: requests.Response, schema: str) -> Any:
    assert response.status_code == 200, response.text
    document = requests.get(f"{server}/openapi.json").json()
    answer = response.json()
    jsonschema.validate(answer, {"$ref": f"#/components/schemas/{schema}", **document})
    return answer


def test_each_model_answers_with_its_own_classes(server: str) -> None:
    files = upload(*((f"{k}", png(of_class(k, 100))) for k in (0, 1, 99)))
    response = requests.post(f"{server}/predict?details=true&top_k=5", files=files)
    predictions = checked(server, response, "Predictions")["predictions"]
    for place, prediction in zip((0, 1, 99), predictions, strict=True):
        answers = {model["model"]: model for model in prediction["models"]}
        assert {*answers} == {*MODELS}
        for name, answer in answers.items():
            assert len(answer["probabilities"]) == min(5, len(MODELS[name]))
            assert {*answer["probabilities"]} <= {*MODELS[name]}
        assert answers["hundred"]["class"] == HUNDRED[place]
        assert answers["more"]["class"] == MORE[round(place * 100 / 99)]
        assert answers["two"]["class"] == TWO[place == 99]
    assert answers["two"]["details"]["precision"] == pytest.approx(70 / 80)
    assert answers["two"]["details"]["top_confusions"] == [{"true_class": "<b>", "share": 0.125}]
    whole = requests.post(f"{server}/predict?model=hundred", files=files[:1]).json()
    assert [*whole["predictions"][0]["models"][0]["probabilities"]] == HUNDRED
    checked(server, requests.get(f"{server}/models"), "Models")
    checked(server, requests.get(f"{server}/study"), "Study")


def test_a_closer_look_names_its_own_classes(server: str) -> None:
    # Just darker than between the two: a lighter variant is the other.
    file = png(np.full((32, 32, 3), 127, np.uint8))
    for path, schema in (("stability", "ImageStability"), ("explanations", "ImageExplanation")):
        response = requests.post(f"{server}/{path}", data=file)
        for answer in checked(server, response, schema)["models"]:
            assert answer["class"] in MODELS[answer["model"]]
            for changed in answer.get("changed", ()):
                assert changed["class"] in MODELS[answer["model"]]


def test_the_protocol_has_each_models_classes(server: str) -> None:
    client = triton.InferenceServerClient(server.removeprefix("http://"))
    for name, classes in MODELS.items():
        metadata = client.get_model_metadata(name)
        assert metadata["outputs"][0]["shape"] == [-1, len(classes)]
        [labels] = csv.reader([metadata["parameters"]["labels"]])
        assert labels == classes
        config = client.get_model_config(name)
        assert config["output"][0]["dims"] == [len(classes)]
        [labels] = csv.reader([config["parameters"]["labels"]["string_value"]])
        assert labels == classes
        image = image_input(of_class(len(classes) - 1, len(classes))[None], binary=True)
        result = client.infer(name, [image])
        assert result.as_numpy("probabilities").shape == (1, len(classes))
        best = triton.InferRequestedOutput("probabilities", class_count=len(classes))
        [found] = client.infer(name, [image], outputs=[best]).as_numpy("probabilities")
        assert {text.decode().split(":", 2)[2] for text in found} == {*classes}
        more = triton.InferRequestedOutput("probabilities", class_count=len(classes) + 1)
        with pytest.raises(triton.InferenceServerException, match=f"to {len(classes)}"):
            client.infer(name, [image], outputs=[more])
    client.close()


def test_metrics_have_a_bound_on_classes_and_compare_equal_ones(
    server: str, log: list[str]
) -> None:
    def counts() -> list[float]:
        text = requests.get(f"{server}/metrics").text
        predicted = 'serving_predictions_total{class="%s",model="%s",version="1"}'
        agree = 'serving_prediction_agreement_total{agree="%s"}'
        names = [predicted % ("日本", "hundred"), predicted % ("", "more")]
        names += [agree % "yes", agree % "no"]
        found = [re.search(f"^{re.escape(name)} (.+)$", text, re.MULTILINE) for name in names]
        return [float(match[1]) if match else 0 for match in found]

    before = np.array(counts())
    files = upload(("black", png(of_class(0, 2))))
    for model in ("hundred", "more"):
        requests.post(f"{server}/predict?model={model}", files=files)
    requests.post(f"{server}/predict?model=hundred&model=first&model=two", files=files)
    assert (counts() - before).tolist() == [2, 1, 0, 0]
    requests.post(f"{server}/predict", files=files)
    assert (counts() - before).tolist() == [3, 2, 1, 0]  # twin and two agree
    warning = next(line for line in log if "without the class" in line)
    assert "more version 1 has 101 classes" in warning


def test_classify_writes_each_models_classes(models_dir: Path, tmp_path: Path) -> None:
    for place in (0, 1):
        (tmp_path / f"{place}.png").write_bytes(png(of_class(place, 2)))
    command = [
        *("classify", str(tmp_path), "--models-dir", str(models_dir)),
        *("--top-k", "1000", "--model", "two", "--model", "hundred"),
    ]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    found = list(csv.reader(result.stdout.splitlines()))
    assert {len(row) for row in found} == {4 + 2 * 100 + 1}
    assert [row[4] for row in found[1:]] == [TWO[0], HUNDRED[0], TWO[1], HUNDRED[-1]]
    assert found[1][8:] == [""] * (len(found[1]) - 8)  # the other 98 classes
    result = CliRunner().invoke(main, [*command, "--format", "jsonl"])
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["class"] for row in rows] == [TWO[0], HUNDRED[0], TWO[1], HUNDRED[-1]]
    assert {*rows[1]["probabilities"]} == {*HUNDRED}


def test_a_file_of_another_number_of_classes_than_its_record_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path, "wrong", TWO, content=onnx_of(3))
    with pytest.raises(StartError) as refused:
        load_classifiers(Settings(models_dir=tmp_path, provider="cpu"))
    for words in (str(tmp_path / "wrong" / "1" / "model.onnx"), "['batch', 3]", "['batch', 2]"):
        assert words in str(refused.value)
