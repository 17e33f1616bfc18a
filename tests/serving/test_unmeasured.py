"""Models of which little is known: no answer and no view has a figure that was not measured."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import requests
from playwright.sync_api import Browser, expect

from models.measurements import Measured
from models.record import Record
from tests.helpers import ROOT, SHIP, run_server, upload

REQUIRED = {name for name, field in Record.model_fields.items() if field.is_required()}


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first model, also as one whose training and as one of which nothing is recorded."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(ROOT / "models" / "first", folder / "first")
    for name, kept in (("measured", REQUIRED | {*Measured.model_fields}), ("bare", REQUIRED)):
        shutil.copytree(ROOT / "models" / "first" / "2", folder / name / "1")
        path = folder / name / "1" / "metadata.json"
        record = json.loads(path.read_bytes()) | {"name": name, "title": name, "version": 1}
        path.write_text(json.dumps({key: record[key] for key in kept}))
    return folder


@pytest.fixture(scope="module")
def server(models_dir: Path) -> Iterator[str]:
    with run_server("--models-dir", str(models_dir), "--precision", "float32") as address:
        yield address


def test_answers_lack_what_was_not_measured_and_are_as_described(server: str) -> None:
    schemas = requests.get(f"{server}/openapi.json").json()

    def check(answer: Any, schema: str) -> Any:
        jsonschema.validate(answer, {"$ref": f"#/components/schemas/{schema}", **schemas})
        return answer

    files = upload((SHIP.name, SHIP.read_bytes()))
    answer = requests.post(f"{server}/predict?details=true", files=files).json()
    [prediction] = check(answer, "Predictions")["predictions"]
    first, bare, measured = prediction["models"]
    assert [first["model"], bare["model"], measured["model"]] == ["first", "bare", "measured"]
    assert bare["probabilities"] == first["probabilities"]
    assert "test_accuracy" not in bare
    assert "details" not in bare
    assert measured["test_accuracy"] == first["test_accuracy"]
    assert measured["details"] == first["details"]

    models = check(requests.get(f"{server}/models").json(), "Models")["models"]
    records = {(record["name"], record["version"]): record for record in models}
    required = REQUIRED | {"served_precision"}
    assert set(records["bare", 1]) == required
    known = required | {*Measured.model_fields, *Measured.model_computed_fields, "class_accuracy"}
    assert set(records["measured", 1]) == known
    study = check(requests.get(f"{server}/study").json(), "Study")
    assert {version["name"] for version in study["versions"]} == {"first"}
    metrics = requests.get(f"{server}/metrics").text
    assert 'serving_model_test_accuracy{model="measured"' in metrics
    assert 'serving_model_test_accuracy{model="bare"' not in metrics


def test_the_page_shows_dashes_and_says_so(browser: Browser, server: str) -> None:
    page = browser.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(server)
    page.set_input_files("#file", SHIP)
    expect(page.locator("[data-model=bare] .worth")).to_have_text(
        "How often it is right was not measured."
    )
    for name, accuracy in (("measured", "88.1 %"), ("bare", "–")):
        expect(page.locator(f"[data-model={name}] .tested")).to_have_text(accuracy)
    expect(page.locator("[data-model=measured] .worth")).to_contain_text("Precision for this class")
    page.get_by_role("button", name="Does the answer hold?").click()
    expect(page.locator(".stability")).to_have_count(3)
    for view in ("try", "card/measured", "card/bare", "overfitting"):
        page.evaluate(f"location.hash = '{view}'")
        expect(page.locator(f"#view-{view.split('/')[0]} h2").first).to_be_visible()
        shown = page.locator("main").inner_text()
        assert not {"undefined", "NaN", "null"} & set(re.findall(r"\w+", shown)), view
    page.close()
    assert problems == []
