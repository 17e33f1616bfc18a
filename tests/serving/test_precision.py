"""The int8 files, which run on the CPU unless another precision is set."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import requests

from models.record import Record
from serving.errors import StartError
from serving.inference.registry import Classifiers, load_classifiers
from serving.settings import Settings
from tests.helpers import ROOT, SHIP

RECORDS = [
    Record.model_validate_json(path.read_bytes())
    for path in sorted(ROOT.glob("models/*/*/metadata.json"))
]


def test_records_and_answers_are_those_of_the_int8_files(server: str) -> None:
    served = requests.get(f"{server}/models").json()["models"]
    assert len(served) == len(RECORDS)
    by_version = {(record["name"], record["version"]): record for record in served}
    for record in RECORDS:
        assert record.int8
        assert record.test_accuracy
        of_int8 = by_version[record.name, record.version]
        assert of_int8["sha256"] == record.int8.sha256 != record.sha256
        assert of_int8["test_accuracy"] == record.int8.test_accuracy
        assert of_int8["served_precision"] == "int8"
        assert round(record.test_accuracy - of_int8["test_accuracy"], 4) <= 0.002
    answered = requests.post(f"{server}/predict", data=SHIP.read_bytes())
    [answer] = answered.json()["predictions"]
    for model in answer["models"]:
        record = by_version[model["model"], model["version"]]
        assert model["test_accuracy"] == record["test_accuracy"]
        assert (model["precision"], model["class"]) == ("int8", "ship")


def test_a_model_without_an_int8_file_runs_in_float32(tmp_path: Path) -> None:
    for version in ("1", "2"):
        shutil.copytree(ROOT / "models" / "first" / version, tmp_path / "first" / version)
    path = tmp_path / "first" / "1" / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"int8": None}))
    (tmp_path / "first" / "2" / "model.int8.onnx").unlink()
    in_float32 = {f"first/{c.record.version}": c.record.sha256 for c in load(tmp_path)}
    assert in_float32 == {f"{r.name}/{r.version}": r.sha256 for r in RECORDS if r.name == "first"}
    with pytest.raises(StartError, match=r"first/1.*python -m training quantize"):
        load(tmp_path, precision="int8")
    with pytest.raises(StartError, match="set --provider or SERVING_PROVIDER to cpu"):
        load(tmp_path, precision="int8", provider="cuda")


def load(models_dir: Path, **settings: Any) -> Classifiers:
    return load_classifiers(Settings(models_dir=models_dir, **{"provider": "cpu"} | settings))
