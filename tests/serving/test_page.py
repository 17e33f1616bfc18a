"""The page in a real headless Chromium, driven by Playwright."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.conftest import ROOT, run_server
from tests.serving.test_service import MODELS, upload

SHIP = ROOT / "serving" / "static" / "ship.png"


@pytest.fixture
def page(browser: Browser, server: str) -> Iterator[Page]:
    """The page, which must neither log an error nor ask another host for anything."""
    page = browser.new_page(viewport={"width": 390, "height": 844})
    problems: list[str] = []
    addresses: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text))
    page.on("request", lambda request: addresses.append(request.url))
    page.goto(server)
    expect(page.locator("article")).to_have_count(len(MODELS))
    yield page
    page.close()
    # Chromium logs a refused request by itself.
    assert [text for text in problems if not text.startswith("Failed to load resource")] == []
    assert [url for url in addresses if not url.startswith(server)] == []


def test_a_chosen_picture_gets_the_services_answers(page: Page, server: str) -> None:
    page.set_input_files("#file", SHIP)
    expect(page.locator("#verdict")).not_to_be_empty()
    [prediction] = requests.post(
        f"{server}/predict", files=upload(("ship.png", SHIP.read_bytes()))
    ).json()["predictions"]
    for answer in prediction["models"]:
        card = page.locator(f"[data-model={answer['model']}]")
        expect(card.locator(".class")).to_have_text(answer["class"])
        expect(card.locator(".confidence")).to_have_text(f"{100 * answer['confidence']:.1f} % sure")
        expect(card.locator(".probabilities progress")).to_have_count(10)
        expect(card.locator(".accuracy")).to_contain_text(f"{100 * answer['test_accuracy']:.1f} %")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_the_page_says_what_an_answer_is_worth(page: Page, server: str) -> None:
    page.set_input_files("#file", SHIP)
    [prediction] = requests.post(
        f"{server}/predict?details=true", files=upload(("ship.png", SHIP.read_bytes()))
    ).json()["predictions"]
    for answer in prediction["models"]:
        share = 100 * answer["details"]["right_when_this_class"]
        worth = page.locator(f"[data-model={answer['model']}] .worth")
        expect(worth).to_contain_text(f"it calls {answer['class']}, {share:.0f} are")


def test_the_keyboard_is_enough(page: Page) -> None:
    focused = "document.activeElement.id || document.activeElement.tagName"
    reached = []
    for _ in range(3):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(focused))
    assert reached == ["file", "camera", "example"]
    page.keyboard.press("Enter")
    expect(page.locator("#seen")).to_be_visible()
    expect(page.locator(".answer").first).to_be_visible()


def test_curves_and_figures_can_be_opened(page: Page, server: str) -> None:
    record = requests.get(f"{server}/models/first").json()
    card = page.locator("[data-model=first]")
    card.locator("summary").click()
    lines = card.locator("polyline")
    expect(lines).to_have_count(2)
    assert len((lines.nth(1).get_attribute("points") or "").split()) == len(record["history"])
    expect(card.locator("tbody")).to_contain_text(f"{100 * record['article']['test_accuracy']:.1f}")


def test_another_version_can_be_chosen(page: Page, server: str) -> None:
    page.set_input_files("#file", SHIP)
    expect(page.locator("#verdict")).not_to_be_empty()
    choice = page.get_by_label("the article’s recipe")
    if not choice.is_visible():
        pytest.skip("one version is bundled")
    choice.check()
    [prediction] = requests.post(
        f"{server}/predict?version=1", files=upload(("ship.png", SHIP.read_bytes()))
    ).json()["predictions"]
    for answer in prediction["models"]:
        card = page.locator(f"[data-model={answer['model']}]")
        expect(card.locator(".confidence")).to_have_text(f"{100 * answer['confidence']:.1f} % sure")
        expect(card.locator(".accuracy")).to_contain_text(f"{100 * answer['test_accuracy']:.1f} %")


def test_a_bad_file_is_explained(page: Page, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    page.set_input_files("#file", tmp_path / "notes.png")
    expect(page.get_by_role("alert")).to_contain_text("notes.png is not a picture")
    page.set_input_files("#file", SHIP)
    expect(page.get_by_role("alert")).to_be_hidden()


def test_the_services_refusal_is_shown(page: Page) -> None:
    page.set_input_files("#file", SHIP)
    expect(page.locator("#verdict")).not_to_be_empty()
    page.route(
        "**/predict*", lambda route: route.fulfill(status=503, json={"detail": "Too many at once."})
    )
    page.set_input_files("#file", SHIP)
    expect(page.get_by_role("alert")).to_have_text("Too many at once.")
    # The last picture's answers do not stand beside this one.
    expect(page.locator("#verdict")).to_be_empty()
    expect(page.locator(".answer").first).to_be_hidden()


def test_several_files_show_which_failed(page: Page, server: str, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    page.set_input_files("#file", [SHIP, tmp_path / "notes.png", SHIP])
    rows = page.locator("#list tbody tr")
    expect(rows).to_have_count(3)
    expect(page.locator("#verdict")).to_have_text("1 of 3 images could not be classified.")
    expect(page.locator("#list .failed")).to_contain_text("notes.png is not a picture")
    [prediction] = requests.post(
        f"{server}/predict", files=upload(("ship.png", SHIP.read_bytes()))
    ).json()["predictions"]
    for answer in prediction["models"]:
        shown = f"{answer['class']}, {100 * answer['confidence']:.1f} %"
        expect(rows.first).to_contain_text(shown)
        expect(rows.last).to_contain_text(shown)
    refused = {"predictions": [
        {"filename": "ship.png", "problem": {"detail": "ship.png is too odd."}}, prediction,
    ]}  # fmt: skip
    page.route("**/predict*", lambda route: route.fulfill(json=refused))
    page.set_input_files("#file", [SHIP, SHIP])
    expect(page.locator("#list .failed")).to_contain_text("ship.png is too odd.")
    page.unroute("**/predict*")
    page.set_input_files("#file", SHIP)
    expect(page.locator("#verdict")).not_to_be_empty()
    expect(page.locator("#list")).to_be_hidden()


def test_the_page_asks_for_the_key(browser: Browser) -> None:
    with run_server("--api-key", "the-key") as address:
        page = browser.new_page()
        page.goto(address)
        for key in ("wrong", "the-key"):
            page.get_by_label("API key").fill(key)
            page.get_by_role("button", name="use this key").click()
            if key == "wrong":
                expect(page.locator("#reason")).to_contain_text("not one of this service's")
        expect(page.locator("article")).to_have_count(len(MODELS))
        page.set_input_files("#file", SHIP)
        expect(page.locator("#verdict")).not_to_be_empty()
        expect(page.locator("#key")).to_be_hidden()
        page.reload()  # which remembers it
        expect(page.locator("article")).to_have_count(len(MODELS))
        page.close()


def test_a_photo_is_cropped_to_its_centre(page: Page, tmp_path: Path) -> None:
    photo = Image.new("RGB", (900, 300), "red")
    photo.paste("blue", (300, 0, 600, 300))
    photo.save(tmp_path / "photo.png")
    page.set_input_files("#file", tmp_path / "photo.png")
    expect(page.locator("#verdict")).not_to_be_empty()
    colours = page.evaluate(
        """() => { const { data } = document.getElementById("picture").getContext("2d")
           .getImageData(0, 0, 32, 32); return [...data]; }"""
    )
    assert colours == [0, 0, 255, 255] * 32 * 32


def test_it_fits_a_phone_and_follows_the_dark_mode(page: Page) -> None:
    page.click("#example")
    expect(page.locator(".answer").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    background = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="light")
    light = page.evaluate(background)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(background) != light
