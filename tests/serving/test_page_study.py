"""GET /study, and the page's view of it in Chromium, against study.json and the records."""

import json
import re
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest
import requests
from playwright.sync_api import Page, expect

from models.study import BASELINE, STUDY_FILE, read_study
from serving.app import create_app
from serving.errors import StartError
from serving.settings import Settings
from tests.helpers import MODELS, ROOT, check_problem

STUDY = read_study(ROOT / "models" / STUDY_FILE)
RESULTS = json.loads(STUDY.model_dump_json())["results"]
COMPARED = STUDY.compared


@pytest.fixture
def study_page(page: Page) -> Page:
    page.get_by_role("link", name="The study").click()
    expect(page.get_by_role("heading", name="The study")).to_be_focused()
    expect(page).to_have_title("The study – Three networks, one image")
    return page


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+\.\d", text.replace("−", "-"))]


def test_the_study_is_the_file_and_the_records(server: str) -> None:
    answer = requests.get(f"{server}/study").json()
    assert answer["results"] == RESULTS
    assert answer["compared"] == [compared.model_dump(mode="json") for compared in COMPARED]
    records = requests.get(f"{server}/models").json()["models"]
    for version, record in zip(answer["versions"], records, strict=True):
        assert version.items() <= record.items()
    check_problem(requests.get(f"{server}/study?model=first"), 400, "model")


def test_a_broken_study_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "first").symlink_to(ROOT / "models" / "first")
    (tmp_path / "study.json").write_text('{"results": [{}]}')
    with pytest.raises(StartError, match=r"study\.json"):
        create_app(Settings(provider="cpu", models_dir=tmp_path))


def test_two_techniques_can_be_compared(study_page: Page) -> None:
    accuracies: dict[str, dict[int, float]] = defaultdict(dict)
    for result in STUDY.of(COMPARED[0]):
        accuracies[result.technique][result.seed] = 100 * result.test.accuracy
    section = study_page.locator(".techniques").first
    for measure in ("test", "gap"):
        dots = section.locator(f"[data-measure={measure}] circle")
        expect(dots).to_have_count(len(accuracies))
        positions = [float(dot.get_attribute("cx") or 0) for dot in dots.all()]
        if measure == "test":  # the better a technique, the farther to the right
            means = [mean(of_seed.values()) for of_seed in accuracies.values()]
            assert np.argsort(positions).tolist() == np.argsort(means).tolist()
    table = section.get_by_role("table", name="Accuracy, %", exact=True)
    said = section.locator("[aria-live]")
    for one, other, in_words in (
        ("input-normalization", "dropout", "points lower; its gap is"),
        ("batch-normalization", "flips-and-shifts", "points higher, which is within the spread"),
    ):
        section.get_by_role("combobox", name="Compare").select_option(one)
        section.get_by_role("combobox", name="with").select_option(other)
        before, after = accuracies[one], accuracies[other]
        differences = [after[seed] - before[seed] for seed in before]
        shown = [
            number
            for values in (before.values(), after.values(), differences)
            for number in (mean(values), stdev(values))
        ]
        expect(table).to_contain_text(other)
        row = table.get_by_role("row", name="test")
        assert numbers(row.inner_text()) == pytest.approx(shown, abs=0.051)
        expect(said).to_contain_text(f"{other} against {one}: its test accuracy is")
        expect(said).to_contain_text(in_words)
        assert numbers(said.inner_text())[0] == pytest.approx(abs(mean(differences)), abs=0.051)
        expect(section.locator(".chosen")).to_have_count(4)


@pytest.mark.parametrize("name", MODELS)
def test_the_recipes_of_a_model_stand_against_each_other(
    study_page: Page, server: str, name: str
) -> None:
    versions = [v for v in requests.get(f"{server}/models").json()["models"] if v["name"] == name]
    study_page.get_by_role("combobox", name="Model").select_option(name)
    lines = study_page.locator("#view-study polyline")
    expect(lines).to_have_count(2 * len(versions))
    for i, version in enumerate(reversed(versions)):
        points = (lines.nth(2 * i).get_attribute("points") or "").split()
        assert len(points) == len(version["history"])
        recipe = version["recipe"].replace("article", "article’s")
        title = f"With the {recipe} recipe"
        diagram = study_page.locator("svg.reliability").nth(i)
        error = 100 * version["calibration"]["expected_calibration_error"]
        bins = [b for b in version["calibration"]["reliability"] if b["count"]]
        expect(diagram.locator("rect")).to_have_count(len(bins))
        expect(study_page.get_by_text(f"calibration error {error:.1f} points")).to_be_visible()
        matrix = study_page.get_by_role("table", name=f"{title}: right on")
        cat = matrix.get_by_role("row", name="cat").get_by_role("cell")
        assert [int(text) for text in cat.all_text_contents()] == version["confusion_matrix"][3]


def test_the_articles_figures_stand_beside_ours(study_page: Page, server: str) -> None:
    for name in MODELS:
        record = requests.get(f"{server}/models/{name}?version=1").json()
        table = study_page.get_by_role("table", name="Accuracy after the last epoch, %")
        article = table.get_by_role("row", name=f"{record['title']}, the article")
        expect(article).to_contain_text(f"{100 * record['article']['test_accuracy']:.1f}")
        here = table.get_by_role("row", name=f"{record['title']}, here")
        expect(here.first).to_contain_text(f"{100 * record['running_train_accuracy']:.1f}")
        whole = {"model": name, "epochs": len(record["history"])}
        runs = [
            r
            for r in RESULTS
            if r["technique"] == BASELINE and whole.items() <= r["setting"].items()
        ]
        for precision in {run["setting"]["precision"] for run in runs}:
            of = [r["test"]["accuracy"] for r in runs if r["setting"]["precision"] == precision]
            n = "1 seed" if len(of) == 1 else f"{len(of)} seeds"
            row = table.get_by_role("row", name=f"{record['title']}, here, {n} in {precision}")
            spread = f" ± {100 * stdev(of):.1f}" if len(of) > 1 else ""
            expect(row.get_by_role("cell").last).to_have_text(f"{100 * mean(of):.1f}{spread}")


def test_it_fits_a_phone(study_page: Page) -> None:
    expect(study_page.locator(".confusion")).to_have_count(2)
    assert study_page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
