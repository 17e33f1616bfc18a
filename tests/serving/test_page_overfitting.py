"""GET /study, and the page's story of overfitting in Chromium, against the measurements' files."""

import json
import re
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import requests
from playwright.sync_api import Page, expect

from models.study import BASELINE, EXPERIMENTS, STUDY_FILE, read_study
from serving.app import create_app
from serving.errors import StartError
from serving.settings import Settings
from tests.helpers import MODELS, ROOT, check_problem

STUDY = read_study(ROOT / "models" / STUDY_FILE)
RESULTS = json.loads(STUDY.model_dump_json())["results"]
COMPARED = STUDY.compared
FEWEST = 30  # images of a confidence interval that is drawn


@pytest.fixture
def story(page: Page) -> Page:
    page.get_by_role("link", name="Overfitting", exact=True).click()
    expect(page.get_by_role("heading", name="Overfitting", exact=True)).to_be_focused()
    expect(page).to_have_title("Overfitting – Learned or memorized?")
    return page


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+\.\d", text.replace("−", "-"))]


def test_the_study_is_the_files_and_the_records(server: str) -> None:
    answer = requests.get(f"{server}/study").json()
    assert answer["results"] == RESULTS
    assert answer["compared"] == [compared.model_dump(mode="json") for compared in COMPARED]
    for name in EXPERIMENTS:
        results = answer["experiments"][name]
        recorded = read_study(ROOT / "models" / f"{name}.json").model_dump(mode="json")["results"]
        assert all(result in recorded for result in results)
        runs = {(str(run["setting"]), run["technique"], run["seed"]) for run in results}
        assert runs  # what is compared has the same seeds
        assert runs == {
            (of, what, seed) for of, what, _ in runs for it, _, seed in runs if it == of
        }
    records = requests.get(f"{server}/models").json()["models"]
    for version, record in zip(answer["versions"], records, strict=True):
        assert version.items() <= record.items()
    check_problem(requests.get(f"{server}/study?model=first"), 400, "model")


@pytest.mark.parametrize("file", ["study.json", "width.json"])
def test_a_broken_file_stops_the_start(tmp_path: Path, file: str) -> None:
    (tmp_path / "first").symlink_to(ROOT / "models" / "first")
    (tmp_path / file).write_text('{"results": [{}]}')
    with pytest.raises(StartError, match=re.escape(file)):
        create_app(Settings(provider="cpu", models_dir=tmp_path))


def test_two_techniques_can_be_compared(story: Page) -> None:
    accuracies: dict[str, dict[int, float]] = defaultdict(dict)
    for result in STUDY.of(COMPARED[0]):
        accuracies[result.technique][result.seed] = 100 * result.test.accuracy
    section = story.locator(".techniques")
    means = {name: mean(of_seed.values()) for name, of_seed in accuracies.items()}
    for measure in ("test", "gap"):
        dots = section.locator(f"[data-measure={measure}] circle")
        expect(dots).to_have_count(len(accuracies))
        positions = [float(dot.get_attribute("cx") or 0) for dot in dots.all()]
        if measure == "test":  # the better a technique, the farther to the right
            assert np.argsort(positions).tolist() == np.argsort(list(means.values())).tolist()
    alone = max(means.keys() - {BASELINE, "combined"}, key=lambda name: means[name])
    expect(section.locator(".finding")).to_contain_text(
        f"{alone} has the highest test accuracy, {means[alone]:.1f} % instead of "
        f"{means[BASELINE]:.1f} % (within the spread of it: input-normalization"
    )
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
def test_a_training_can_be_stopped_earlier(story: Page, server: str, name: str) -> None:
    section = story.locator(".chapter").first
    section.get_by_role("combobox", name="Model").select_option(name)
    for version, recipe in ((1, "the article’s recipe"), (2, "the improved recipe")):
        history = requests.get(f"{server}/models/{name}?version={version}").json()["history"]
        section.get_by_role("radio", name=recipe).check()
        lines = section.locator(".plot polyline")
        expect(lines).to_have_count(4)
        for line in lines.all():  # on a scale of its own
            drawn = [point.split(",") for point in (line.get_attribute("points") or "").split()]
            assert len(drawn) == len(history)
            assert float(drawn[-1][0]) == pytest.approx(float(drawn[0][0]) + 320, abs=60)
        losses = [epoch["val_loss"] for epoch in history]
        lowest = 1 + losses.index(min(losses))
        expect(section.locator(".finding")).to_contain_text(f"epoch {lowest} ")
        slider = section.get_by_label("Stop here")
        slider.press("Home")
        for _ in range(lowest - 1):
            slider.press("ArrowRight")
        then = history[lowest - 1]
        told = section.locator(".stopped")
        expect(told).to_contain_text(f"{lowest} of {len(history)}")
        expect(told).to_contain_text(f"validation loss{then['val_loss']:.2f}")
        gap = 100 * (then["accuracy"] - then["val_accuracy"])
        assert numbers(told.locator("dd", has_text=" points").inner_text()) == pytest.approx(
            [gap], abs=0.051
        )
        rule, mark = (
            section.locator(f".plot .{kind}").get_attribute("x1") for kind in ("rule", "mark")
        )
        assert rule == mark  # the epoch of the lowest validation loss


def test_a_chart_is_read_by_keyboard_as_a_table_and_as_csv(story: Page, server: str) -> None:
    history = requests.get(f"{server}/models/first?version=1").json()["history"]
    section = story.locator(".chapter").first
    plot = section.locator(".plot")
    plot.press("Home")
    plot.press("ArrowRight")
    expect(plot.get_by_role("status")).to_contain_text("epoch 2")
    expect(plot.get_by_role("status")).to_contain_text(
        f"validation loss {history[1]['val_loss']:.2f}"
    )
    plot.press("Escape")
    expect(plot.get_by_role("status")).to_be_hidden()
    section.get_by_text("As a table").click()
    rows = section.get_by_role("table").locator("tbody tr")
    expect(rows).to_have_count(len(history))
    expect(rows.nth(4)).to_contain_text(f"{100 * history[4]['val_accuracy']:.1f}")
    link = section.get_by_role("link", name="Download as CSV").get_attribute("href") or ""
    lines = unquote(link.partition(",")[2]).split("\r\n")
    assert len(lines) == 1 + len(history)
    for epoch, line in zip(history, lines[1:], strict=True):
        loss = float(line.split(",")[3].strip('"'))
        assert loss == pytest.approx(epoch["val_loss"])


@pytest.mark.parametrize("name", MODELS)
def test_confidence_is_compared_with_accuracy(story: Page, server: str, name: str) -> None:
    story.get_by_role("combobox", name="Model").select_option(name)
    chapter = story.locator(".chapter", has=story.get_by_role("heading", name="Confidence"))
    for version, look in ((1, "train"), (2, "validation")):
        record = requests.get(f"{server}/models/{name}?version={version}").json()
        error = 100 * record["calibration"]["expected_calibration_error"]
        expect(chapter.locator(".finding")).to_contain_text(f"calibration error {error:.1f} points")
        bins = [b for b in record["calibration"]["reliability"] if b["count"] >= FEWEST]
        expect(chapter.locator(f".plot circle.{look}")).to_have_count(len(bins))


def test_the_articles_figures_stand_beside_ours(story: Page, server: str) -> None:
    story.get_by_text("The article’s figures beside ours").click()
    table = story.get_by_role("table", name="Accuracy after the last epoch, %")
    for name in MODELS:
        record = requests.get(f"{server}/models/{name}?version=1").json()
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


def run(seed: int, test: float, epochs: int = 20, **changed: Any) -> dict[str, Any]:
    """Return a result that says enough for a chart: of a run whose noise is learned late."""
    [baseline] = [r for r in STUDY.of(COMPARED[0]) if r.technique == BASELINE and r.seed == 0]
    clean = changed.get("label_noise", 0) < 1
    history = [
        {
            **{"loss": 1, "accuracy": 0.5, "val_loss": 1, "val_accuracy": 0.5 - 0.01 * abs(i - 4)},
            "seconds": 1,
            "memorization": {"clean": 0.6 if clean else None, "noisy": i / 20, "restored": 0.5},
        }
        for i in range(1, epochs + 1)
    ]
    return {
        **baseline.model_dump(mode="json"),
        **{"technique": str(changed), "seed": seed, "history": history},
        "hyperparameters": {**baseline.hyperparameters, **changed},
        "parameters": round(1_000_000 * changed.get("width", 1)),
        "test": {"loss": 1, "accuracy": test},
    }


def test_the_experiments_are_shown_where_they_are_measured(page: Page, server: str) -> None:
    study = requests.get(f"{server}/study").json()
    measured = {
        "random-labels": [run(0, 0.4, label_noise=0.5), run(0, 0.1, label_noise=1.0)],
        "less-data": [
            *(run(seed, 0.3 + seed / 10, training_images=1000) for seed in (0, 1)),
            run(0, 0.6),
        ],
        "width": [run(0, 0.5, width=0.25), run(0, 0.6)],
    }
    study["experiments"] = measured
    page.route("**/study", lambda route: route.fulfill(json=study))
    page.get_by_role("link", name="Overfitting", exact=True).click()
    noise, data, width = (
        page.locator(".chapter", has=page.get_by_role("heading", name=name))
        for name in ("by heart", "More data", "A larger network")
    )
    expect(noise.locator(".finding")).to_contain_text(
        "after epoch 4 it is right on 60.0 % of the images with their true label and repeats 20.0 %"
    )
    expect(noise.locator(".plot polyline")).to_have_count(3)
    noise.get_by_label("100 %").check()
    expect(noise.locator(".finding")).to_contain_text("By epoch 20 the network repeats 100.0 %")
    expect(data.locator(".finding")).to_contain_text("40,000 training images instead of 1,000")
    expect(data.locator(".finding")).to_contain_text("from 35.0 % to 60.0 %")
    data.get_by_text("As a table").click()
    row = data.get_by_role("row", name="1,000")
    expect(row.get_by_role("cell").first).to_have_text("2")  # n
    expect(row).to_contain_text("35.0 ± 7.1")
    expect(width.locator(".finding")).to_contain_text("From 250,000 to 1,000,000 parameters")
    expect(width.locator(".plot circle")).to_have_count(4)
    study["experiments"] = {name: [] for name in measured}
    page.reload()
    expect(page.locator(".techniques")).to_be_visible()
    for absent in (noise, data, width):
        expect(absent).to_have_count(0)


def test_the_last_image_is_taken_to_the_stability_view(story: Page) -> None:
    story.get_by_role("link", name="Try it on your last image").click()  # the frog: there is none
    expect(story.locator(".result h2")).to_have_text("frog.png")
    expect(story.locator(".strip")).to_have_count(2 * len(MODELS))
    story.get_by_role("link", name="Overfitting", exact=True).click()
    story.get_by_role("link", name="Try it on your last image").click()
    expect(story.locator(".strip").first).to_be_visible()


def test_it_fits_a_phone_with_text_of_14_pixels(story: Page) -> None:
    expect(story.locator(".plot svg").last).to_have_attribute("viewBox", re.compile(r"^0 0 3\d\d"))
    assert story.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    for plot in story.locator(".plot svg").all():
        box, drawn = plot.bounding_box(), (plot.get_attribute("viewBox") or "").split()
        assert box
        assert box["width"] == pytest.approx(float(drawn[2]), abs=1)  # so that 14 pixels are 14
    every = story.locator("#view-overfitting *")
    sizes = every.evaluate_all(
        "all => all.map((one) => parseFloat(getComputedStyle(one).fontSize))"
    )
    assert min(sizes) >= 14
