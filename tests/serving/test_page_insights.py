"""What the page shows of an answer's worth: thresholds, changed images and maps, in Chromium."""

from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import numpy as np
import pytest
import requests
from playwright.sync_api import Page, expect

from serving.insights import stability
from tests.helpers import MODELS, SHIP, ask, png, predict


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """An image of blurred noise, of whose class the models are not sure."""
    random = np.random.default_rng(2).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    path = tmp_path / "noise.png"
    path.write_bytes(png(random.repeat(8, axis=0).repeat(8, axis=1)))
    return path


def percent(share: float) -> str:
    """Return what JavaScript's toFixed does, which rounds a half up."""
    return f"{Decimal(100 * share).quantize(Decimal('0.1'), ROUND_HALF_UP)} %"


def test_a_threshold_shows_its_accuracy_and_has_models_abstain(
    page: Page, server: str, noise: Path
) -> None:
    page.set_input_files("#file", noise)
    expect(page.locator(".answer").first).to_be_visible()
    records = [requests.get(f"{server}/models/{name}").json() for name in MODELS]
    answers = predict(server, noise)["models"]
    page.get_by_text("Answer only above a confidence").click()
    slider = page.get_by_label("Minimum confidence")
    slider.focus()
    for i in range(1, len(records[0]["calibration"]["coverage"])):
        page.keyboard.press("ArrowRight")
        for record, answer in zip(records, answers, strict=True):
            at = record["calibration"]["coverage"][i]
            expect(page.locator("#buys")).to_contain_text(
                f"answers {percent(at['coverage'])}, {percent(at['accuracy'])} correct"
            )
            row = page.locator(f"[data-model={answer['model']}] summary").first
            if answer["confidence"] < at["threshold"]:
                expect(row).to_contain_text(f"no answer best guess: {answer['class']}")
            else:
                expect(row.locator(".class")).to_have_text(answer["class"])
    assert min(answer["confidence"] for answer in answers) < at["threshold"]  # some did abstain
    expect(page.locator("#verdict")).to_contain_text("abstain")


def test_changed_images_stand_beside_each_other_by_recipe(
    page: Page, server: str, noise: Path
) -> None:
    page.set_input_files("#file", noise)
    button = page.get_by_role("button", name="Does the answer hold?")
    button.press("Enter")
    expect(page.locator(".strip")).to_have_count(2 * len(MODELS))
    some_changed = False
    for version in (1, 2):
        answer = ask(server, "stability", noise, f"version={version}")
        for i, model in enumerate(answer["models"]):
            figure = page.locator(".stability").nth(i).locator(f"[data-version='{version}']")
            kept = stability.COUNT - len(model["changed"])
            expect(figure).to_contain_text(f"{model['class']}, and keeps that on {kept} of")
            same = figure.locator(".same")
            expect(same).to_have_count(kept)
            expect(same).to_have_text([f"{model['class']}same"] * kept)
            record = requests.get(f"{server}/models/{model['model']}?version={version}").json()
            mirrored = 100 * record["stability"]["mirrored"]
            expect(figure).to_contain_text(f"keeps {mirrored:.1f} % when they are mirrored")
            for change in model["changed"]:
                some_changed = True
                sure = f"confidence {100 * change['confidence']:.1f} %"
                text = f"{change['variant']}: {change['class']}, {sure}"
                item = figure.locator(".changed").and_(figure.get_by_title(text, exact=True))
                expect(item).to_have_text(f"{change['class']}changed")
                expect(item.get_by_alt_text(text, exact=True)).to_be_visible()
    assert some_changed
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    button.press("Enter")
    expect(page.locator(".strip").first).to_be_hidden()


def test_a_map_lies_over_the_image(page: Page, server: str, noise: Path) -> None:
    page.set_input_files("#file", noise)
    page.get_by_role("button", name="What does it look at?").press("Enter")
    expect(page.locator(".map")).to_have_count(len(MODELS))
    answer = ask(server, "explanations", noise)
    for model in answer["models"]:
        card = page.locator(f".map[data-model={model['model']}]")
        lost = np.array(model["map"])
        expect(card.locator("figcaption")).to_contain_text(f"{100 * lost.max():.1f} points")
        # Its pixels differ from the crop's most where the map says that hiding costs most.
        pink = np.array(card.locator("canvas").evaluate(STRENGTH)).reshape(32, 32)
        row, column = divmod(int(pink.argmax()), 32)
        step, patch = answer["step"], answer["patch"]
        near = [
            lost[y, x]
            for y in range(len(lost))
            for x in range(len(lost))
            if 0 <= row - y * step < patch and 0 <= column - x * step < patch
        ]
        assert np.mean(near) > np.quantile(lost, 0.8)


def test_a_refusal_of_a_closer_look_is_shown(page: Page) -> None:
    page.set_input_files("#file", SHIP)
    page.route(
        "**/stability*", lambda route: route.fulfill(status=503, json={"detail": "Too many."})
    )
    button = page.get_by_role("button", name="Does the answer hold?")
    button.click()
    expect(page.locator(".result .problem")).to_have_text("Too many.")
    page.get_by_role("button", name="What does it look at?").click()
    expect(page.locator(".map")).to_have_count(len(MODELS))
    expect(page.locator(".result .problem")).to_have_text("Too many.")  # still
    page.unroute("**/stability*")
    button.click()
    expect(page.locator(".strip").first).to_be_visible()


def test_an_image_like_nothing_known_is_said_to_be_so(
    page: Page, server: str, tmp_path: Path
) -> None:
    noise = tmp_path / "noise.png"
    noise.write_bytes(png(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)))
    for path in (SHIP, noise):
        familiar = predict(server, path, "details=true")["familiarity"]["familiar"]
        assert familiar == (path == SHIP)
        page.set_input_files("#file", path)
        expect(page.locator(".result h2")).to_have_text(path.name)
        expect(page.locator(".answer").first).to_be_visible()
        expect(page.locator(".unfamiliar")).to_have_count(0 if familiar else 1)


# How opaque the map is, by pixel.
STRENGTH = """canvas => {
  const small = new OffscreenCanvas(32, 32).getContext("2d");
  const plain = new OffscreenCanvas(32, 32).getContext("2d");
  small.drawImage(canvas, 0, 0, 32, 32);
  plain.drawImage(document.querySelector(".crop"), 0, 0);
  const [a, b] = [small, plain].map((context) => context.getImageData(0, 0, 32, 32).data);
  const strength = [];
  for (let i = 0; i < a.length; i += 4) {
    // How far each color went of the way from the crop's to the map's: the least noisy of three.
    const ways = [0, 1, 2].map((c) => [[236, 0, 140][c] - b[i + c], a[i + c] - b[i + c]]);
    const [way, gone] = ways.sort(([x], [y]) => Math.abs(y) - Math.abs(x))[0];
    strength.push(gone / way);
  }
  return strength;
}"""
