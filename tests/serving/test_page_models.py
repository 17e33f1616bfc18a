"""The page's models: their cards, one alone, one of other classes, int8 files; in Chromium."""

import json
import re
from functools import partial

import numpy as np
import requests
from playwright.sync_api import Browser, Page, Route, expect

from tests.helpers import SHIP, predict


def test_one_model_is_not_all(browser: Browser, server: str) -> None:
    page = browser.new_page()
    one = requests.get(f"{server}/models/final").json()
    page.route("**/models", lambda route: route.fulfill(json={"models": [one]}))
    page.goto(server)
    page.set_input_files("#file", SHIP)
    expect(page.locator("#verdict")).to_have_text(re.compile(f"^{one['title']} says "))
    page.close()


def test_a_model_of_other_classes_stands_beside_the_others(browser: Browser, server: str) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    classes = [f"a class with a name of {i} words that is long" for i in range(100)]
    first = requests.get(f"{server}/models/first").json()
    mine = {
        **first,
        **{"name": "mine", "title": "Mine", "version": 1, "recipe": "improved", "classes": classes},
        **{"article": None, "calibration": None, "stability": None, "noise": None},
        "confusion_matrix": np.eye(100, dtype=int).tolist(),
        "class_accuracy": dict.fromkeys(classes, 1.0),
    }
    probabilities = {name: 0.6 if i == 7 else 0.4 / 99 for i, name in enumerate(classes)}
    worth: dict[str, object] = {
        "accuracy_at_confidence": None,
        "precision": None,
        "top_confusions": [],
    }
    answer = {
        **{"model": "mine", "version": 1, "class": classes[7], "confidence": 0.6},
        **{"probabilities": probabilities, "test_accuracy": 1.0, "details": worth},
    }
    said = predict(server, SHIP, "model=first&details=true&crop=true")
    said["models"].append(answer)
    page.route("**/models", lambda route: route.fulfill(json={"models": [first, mine]}))
    page.route("**/predict*", lambda route: route.fulfill(json={"predictions": [said]}))
    page.goto(server)
    expect(page.locator("#classes summary")).to_have_count(2)
    expect(page.locator("#classes")).to_contain_text("Mine: 100 classes")
    page.set_input_files("#file", SHIP)
    card = page.locator(".answer[data-model=mine]")
    expect(card.locator(".class")).to_have_text(classes[7])
    card.locator("summary").first.click()
    expect(card.locator("details summary")).to_have_text("95 more classes")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    for view, shown in (("card/mine", ".confusion"), ("overfitting", ".chapter")):
        page.goto(f"{server}/#{view}")
        expect(page.locator(shown).first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.get_by_role("combobox", name="Model").select_option("mine")
    expect(page.get_by_text("The calibration of this model was not measured")).to_be_visible()
    page.close()


def test_a_card_shows_the_records_of_a_model(page: Page, server: str) -> None:
    page.get_by_role("link", name="Model cards").click()
    page.get_by_role("link", name="Final model").click()
    expect(page.get_by_role("heading", name="Final model’s card")).to_be_focused()
    expect(page.locator("#view-try")).to_be_hidden()
    for version in requests.get(f"{server}/models").json()["models"]:
        if version["name"] == "final":
            test = page.get_by_role("row", name="test accuracy", exact=False).first
            expect(test).to_contain_text(f"{100 * version['test_accuracy']:.1f} %")
            assert "/job:" not in version["device"]
            matrix = page.get_by_role(
                "table", name=f"test accuracy {100 * version['test_accuracy']:.1f} %"
            )
            cat = matrix.get_by_role("row", name="cat").get_by_role("cell")
            assert [int(text) for text in cat.all_text_contents()] == version["confusion_matrix"][3]
    page.get_by_role("link", name="First model").click()
    expect(page.get_by_role("heading", name="First model’s card")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.get_by_role("link", name="Try an image").click()
    expect(page.locator("#view-try")).to_be_visible()


def test_the_figures_of_int8_files_are_said_to_be_so(browser: Browser, server: str) -> None:
    page = browser.new_page()
    one = requests.get(f"{server}/models/final").json()
    for served, times in (("float32", 0), ("int8", 1)):
        models = json.dumps({"models": [{**one, "served_precision": served}]})
        page.route("**/models", partial(Route.fulfill, body=models))
        page.goto(f"{server}/#card/final")
        page.reload()
        expect(page.get_by_role("heading", name="Final model’s card")).to_be_visible()
        expect(page.locator("#view-card").get_by_text("The int8 file answers")).to_have_count(times)
    page.close()
