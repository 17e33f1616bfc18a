"""The page in a real headless Chromium, driven by Playwright."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest
import requests
from playwright.sync_api import Browser, Page, Route, expect

from tests.helpers import KEYS, SHIP, png, predict


def test_a_chosen_image_gets_the_services_answers(page: Page, server: str) -> None:
    page.set_input_files("#file", SHIP)
    expect(page.locator("#verdict")).not_to_be_empty()
    for answer in predict(server, SHIP)["models"]:
        card = page.locator(f"[data-model={answer['model']}].answer")
        expect(card.locator(".class")).to_have_text(answer["class"])
        expect(card.locator(".confidence")).to_have_text(f"{100 * answer['confidence']:.1f} %")
        expect(card.locator(".tested")).to_have_text(f"{100 * answer['test_accuracy']:.1f} %")
        best = sorted(answer["probabilities"], key=answer["probabilities"].get, reverse=True)
        expect(card.locator("dt")).to_have_text(best)
        card.locator("summary").first.click()
        visible = [name for name in card.locator("dt").all() if name.is_visible()]
        assert len(visible) == 5  # the rest is folded
    expect(page.get_by_role("alert")).to_be_hidden()


def test_the_page_says_how_far_to_trust_an_answer(page: Page, server: str) -> None:
    page.set_input_files("#file", SHIP)
    for answer in predict(server, SHIP, "details=true")["models"]:
        details = answer["details"]
        card = page.locator(f"[data-model={answer['model']}]")
        precision = (
            f"{100 * details['precision']:.1f} % of the test images called {answer['class']}"
        )
        expect(card.locator(".worth")).to_contain_text(precision)
        off = details["accuracy_at_confidence"] - answer["confidence"]
        mark = "≈ calibrated" if abs(off) <= 0.05 else "▼ over" if off < 0 else "▲ under"
        expect(card.locator(".trust")).to_contain_text(mark)


def test_a_word_of_the_field_is_explained(page: Page) -> None:
    page.set_input_files("#file", SHIP)
    word = page.locator(".head .word").first
    expect(word.get_by_role("tooltip")).to_be_hidden()
    word.focus()
    expect(word.get_by_role("tooltip")).to_contain_text("probability")


def test_a_photo_is_sent_as_it_is_and_shown_as_it_was_cropped(
    page: Page, server: str, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    photo = tmp_path / "photo.png"
    photo.write_bytes(png(random.integers(0, 256, (90, 200, 3), dtype=np.uint8)))
    page.set_input_files("#file", photo)
    expect(page.locator(".seen")).to_contain_text("200 × 90 pixels")  # as the service was sent it
    prediction = predict(server, photo, "crop=true")
    expect(page.locator(".crop")).to_have_attribute("src", prediction["crop"])
    assert page.evaluate("document.querySelector('.crop').naturalWidth") == 32
    for answer in prediction["models"]:
        shown = page.locator(f"[data-model={answer['model']}] .class")
        expect(shown).to_have_text(answer["class"])


def test_the_keyboard_is_enough(page: Page) -> None:
    focused = "(({ id, hash, dataset }) => id || hash || dataset.example)(document.activeElement)"
    reached = []
    for _ in range(9):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(focused))
    links = ["#try", "#overfitting", "#card/first", "#overfitting"]
    choices = ["file", "camera"]
    assert reached == [*links, *choices, "ship.png", "frog.png", "cat.png"]
    page.keyboard.press("Enter")
    expect(page.locator(".crop")).to_be_visible()
    expect(page.locator(".answer").first).to_be_visible()


def test_another_version_can_be_chosen(page: Page, server: str) -> None:
    page.set_input_files("#file", SHIP)
    expect(page.locator("#verdict")).not_to_be_empty()
    page.get_by_label("the article’s recipe").check()
    for answer in predict(server, SHIP, "version=1")["models"]:
        card = page.locator(f"[data-model={answer['model']}].answer")
        expect(card.locator(".confidence")).to_have_text(f"{100 * answer['confidence']:.1f} %")


def test_a_choice_before_there_is_an_image_says_nothing(page: Page, server: str) -> None:
    page.get_by_label("the article’s recipe").check()
    first = requests.get(f"{server}/models/first?version=1").json()
    expect(page.locator("#buys")).to_contain_text(f"{100 * first['test_accuracy']:.1f} % correct")
    expect(page.locator("#verdict")).to_be_empty()


def test_a_choice_stands_on_one_line_with_its_label(page: Page) -> None:
    for choice in page.locator("#versions label").all():
        box = choice.bounding_box()
        assert box
        assert box["height"] < 40


def test_a_bad_file_takes_the_last_answer_away(page: Page, tmp_path: Path) -> None:
    page.set_input_files("#file", SHIP)
    expect(page.locator(".answer").first).to_be_visible()
    (tmp_path / "notes.png").write_text("no image")
    page.set_input_files("#file", tmp_path / "notes.png")
    expect(page.get_by_role("alert")).to_contain_text("notes.png is not an image")
    expect(page.locator("#verdict")).to_be_empty()
    expect(page.locator(".answer, .crop")).to_have_count(0)
    page.set_input_files("#file", SHIP)
    expect(page.locator(".answer").first).to_be_visible()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_the_services_refusal_is_shown(page: Page) -> None:
    page.route(
        "**/predict*", lambda route: route.fulfill(status=503, json={"detail": "Too many at once."})
    )
    page.set_input_files("#file", SHIP)
    expect(page.get_by_role("alert")).to_have_text("Too many at once.")


def test_each_of_several_files_has_a_card(page: Page, server: str, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no image")
    page.set_input_files("#file", [SHIP, tmp_path / "notes.png", SHIP])
    expect(page.locator("#verdict")).to_have_text("1 of 3 images could not be classified.")
    cards = page.locator(".result")
    expect(cards).to_have_count(3)
    expect(cards.nth(1).get_by_role("alert")).to_contain_text("notes.png is not an image")
    expect(cards.nth(1).locator(".answer")).to_have_count(0)
    for answer in predict(server, SHIP)["models"]:
        for card in (cards.first, cards.last):
            shown = card.locator(f".answer[data-model={answer['model']}]")
            expect(shown.locator(".class")).to_have_text(answer["class"])
            expect(shown.locator(".confidence")).to_have_text(f"{100 * answer['confidence']:.1f} %")


def test_the_page_asks_for_the_key(browser: Browser, keyed_server: str) -> None:
    page = browser.new_page()
    page.goto(keyed_server)
    for key, reason in (
        (f"{KEYS[0]}\u200b", "visible ASCII characters"),  # as a chat may add to it
        ("wrong", "Invalid API key"),
        (f" {KEYS[0]} ", ""),
    ):
        expect(page.get_by_label("API key")).to_be_focused()
        page.get_by_label("API key").fill(key)
        page.get_by_role("button", name="use this key").click()
        expect(page.locator("#reason")).to_contain_text(reason)
    expect(page.locator("#classes")).not_to_be_empty()
    page.set_input_files("#file", SHIP)
    expect(page.locator("#verdict")).not_to_be_empty()
    expect(page.locator("#key")).to_be_hidden()
    page.reload()  # which remembers it
    expect(page.locator("#classes")).not_to_be_empty()
    page.get_by_role("link", name="Model cards").click()
    page.get_by_role("link", name="Final model").click()
    page.get_by_text("version 1", exact=True).click()
    url = f"{keyed_server}/models/final?version=1"
    record = requests.get(url, headers={"X-API-Key": KEYS[0]})
    shown = page.locator("details[open] pre").inner_text()
    assert json.loads(shown) == record.json()
    page.close()


def test_it_fits_a_phone_and_follows_the_dark_mode(page: Page, tmp_path: Path) -> None:
    page.click("[data-example='ship.png']")
    expect(page.locator(".answer").first).to_be_visible()
    expect(page.locator("#verdict")).to_be_in_viewport()
    expect(page.locator(".crop")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    (tmp_path / f"{'x' * 90}.png").write_text("no image")
    page.set_input_files("#file", tmp_path / f"{'x' * 90}.png")
    expect(page.locator(".result .problem")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    background = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="light")
    light = page.evaluate(background)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(background) != light


def test_a_service_that_did_not_answer_can_be_tried_again(page: Page, server: str) -> None:
    for path, view, again in (("models", "try", "#drop"), ("study", "overfitting", ".techniques")):
        page.route(f"**/{path}", lambda route: route.abort())
        page.goto(f"{server}/#{view}")
        page.reload()
        expect(page.get_by_role("alert")).to_contain_text("The service does not answer")
        expect(page.locator(again)).to_be_hidden()
        page.unroute(f"**/{path}")
        page.get_by_role("button", name="try again").click()
        expect(page.locator(again)).to_be_visible()
        expect(page.get_by_role("alert")).to_be_hidden()


def test_an_image_that_comes_before_the_records_is_classified(page: Page) -> None:
    waiting = hold(page, "**/models")
    with page.expect_request("**/models"):
        page.reload()
    page.set_input_files("#file", SHIP)
    wait_for_another_answer(page)
    waiting[0].continue_()
    expect(page.locator(".result h2")).to_have_text("ship.png")
    expect(page.locator(".answer").first).to_be_visible()


def test_an_example_that_comes_late_does_not_replace_a_later_choice(
    page: Page, tmp_path: Path
) -> None:
    waiting = hold(page, "**/ship.png")
    page.click("[data-example='ship.png']")
    chosen = tmp_path / "chosen.png"
    chosen.write_bytes(SHIP.read_bytes())
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    page.set_input_files("#file", chosen)
    expect(page.locator(".answer").first).to_be_visible()
    with page.expect_response("**/ship.png"):
        waiting[0].continue_()
    wait_for_another_answer(page)
    expect(page.locator(".result h2")).to_have_text("chosen.png")
    assert len([url for url in sent if "/predict" in url]) == 1  # for the choice


@pytest.mark.parametrize("way", ["paste", "drop"])
def test_an_image_can_be_pasted_and_dropped(page: Page, way: str) -> None:
    page.evaluate(TRANSFER, [way, base64.b64encode(SHIP.read_bytes()).decode()])
    expect(page.locator(".result h2")).to_have_text("ship.png")
    expect(page.locator(".answer").first).to_be_visible()
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    expect(page.locator("h1")).not_to_be_in_viewport()
    page.evaluate(TRANSFER, [way, None])  # text
    expect(page.locator("#error")).to_be_in_viewport()
    expect(page.locator(".result h2")).to_have_text("ship.png")


def test_an_answer_that_comes_late_is_not_shown(page: Page) -> None:
    waiting: list[Route] = []

    def hold_the_first(route: Route) -> None:
        if waiting:
            route.continue_()
        waiting.append(route)

    page.route("**/predict*", hold_the_first)
    page.set_input_files("#file", SHIP)
    expect(page.locator(".result")).to_have_attribute("aria-busy", "true")
    page.get_by_label("the article’s recipe").check()
    answers = page.locator(".answers")
    expect(answers).to_be_visible()
    newest = answers.inner_text()
    with page.expect_response("**/predict*"):
        waiting[0].continue_()
    wait_for_another_answer(page)
    assert answers.inner_text() == newest


def hold(page: Page, url: str) -> list[Route]:
    """Hold the requests for `url`; return the list that they will be in."""
    held: list[Route] = []

    def keep(route: Route) -> None:
        held.append(route)

    page.route(url, keep)
    return held


def wait_for_another_answer(page: Page) -> None:
    """Wait until the page has dealt with every answer that it has received so far."""
    page.evaluate("fetch('health/live').then(answer => answer.text())")


def test_a_browser_that_stores_nothing_is_served(browser: Browser, server: str) -> None:
    page = browser.new_page()
    page.add_init_script(
        "Object.defineProperty(window, 'sessionStorage', { get() { throw new Error(); } })"
    )
    page.goto(server)
    expect(page.locator("#classes")).not_to_be_empty()
    page.close()


def test_an_answer_of_another_service_is_said_to_be_so(page: Page) -> None:
    page.route("**/predict*", lambda route: route.fulfill(body="<html>Please log in.</html>"))
    page.set_input_files("#file", SHIP)
    expect(page.locator(".result .problem")).to_contain_text("is not the service’s")


def test_a_file_that_is_far_too_large_is_said_to_be_so(page: Page, tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    large.write_bytes(SHIP.read_bytes() + bytes(40 * 2**20))
    page.set_input_files("#file", large)
    expect(page.locator(".result .problem")).to_contain_text("too large")


# Pastes or drops a file, or text if there is none.
TRANSFER = """([way, content]) => {
  const transfer = new DataTransfer();
  if (content === null) transfer.setData("text/plain", "text");
  else {
    const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
    transfer.items.add(new File([bytes], "ship.png", { type: "image/png" }));
  }
  const event = { bubbles: true, clipboardData: transfer, dataTransfer: transfer };
  const kind = { paste: ClipboardEvent, drop: DragEvent }[way];
  document.body.dispatchEvent(new kind(way, event));
}"""
