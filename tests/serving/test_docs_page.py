"""The documentation's page in Chromium: its forms are filled in, and its links followed."""

from collections.abc import Iterator

import pytest
import requests
from playwright.sync_api import Browser, Locator, Page, expect

from tests.helpers import KEYS, SHIP


@pytest.fixture(params=["server", "keyed_server"])
def docs(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The documentation, with the key entered where the service asks for one."""
    page = browser.new_page()
    page.goto(f"{request.getfixturevalue(request.param)}/docs/")
    if request.param == "keyed_server":
        page.get_by_role("button", name="Authorize").click()
        page.locator("#api_key_value").fill(KEYS[0])
        page.locator(".auth-container", has_text="X-API-Key").locator("button.authorize").click()
        page.get_by_role("button", name="Close").first.click()
    yield page
    page.close()


def open_operation(page: Page, name: str) -> Locator:
    operation = page.locator(f"#operations-default-{name}")
    operation.click()
    operation.get_by_role("button", name="Try it out").click()
    return operation


def execute(operation: Locator) -> Locator:
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table tbody")
    expect(answer.locator(".response-col_status").first).to_contain_text("200")
    return answer


def test_try_it_out_uploads_a_file_and_shows_an_image(docs: Page) -> None:
    predict = open_operation(docs, "post_predict")
    predict.locator("input[type=file]").first.set_input_files(SHIP)
    expect(execute(predict)).to_contain_text("ship.png")
    curves = open_operation(docs, "get_models__name__curves_png")
    curves.locator("select").first.select_option("first")
    image = execute(curves).locator("img")
    expect(image).to_have_js_property("complete", True)
    assert image.evaluate("image => image.naturalWidth") > 0


def test_links_of_the_pages_need_no_key(browser: Browser, keyed_server: str) -> None:
    page = browser.new_page()
    page.goto(keyed_server)
    page.get_by_label("API key").fill(KEYS[0])
    page.get_by_role("button", name="use this key").click()
    found = set()
    for place, shown in (
        ("/#try", "#view-try a"),
        ("/#overfitting", ".chapter"),
        ("/#card/first", "#view-card details"),
        ("/docs/", ".info a.link"),  # not the logo, which is there earlier
    ):
        page.goto(f"{keyed_server}{place}")
        expect(page.locator(shown).first).to_be_visible()
        found |= {*page.evaluate("[...document.links].map(({ href }) => href.split('#')[0])")}
    own = {url for url in found if url.startswith(keyed_server)}
    assert own >= {f"{keyed_server}{path}" for path in ("/", "/docs/", "/openapi.json")}
    assert {url: requests.get(url).status_code for url in own} == dict.fromkeys(own, 200)
    page.close()
