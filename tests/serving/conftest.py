"""The page, opened as a phone would."""

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.helpers import CHROMIUM_ARGUMENTS

PATIENCE = 120_000  # milliseconds, on a busy machine; what fails is waited for as long

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")  # while it is open, no test may run an event loop of its own
def browser() -> "Iterator[Browser]":
    """A headless Chromium; tests that need it are skipped without it."""
    from playwright.sync_api import expect, sync_playwright  # noqa: PLC0415

    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=CHROMIUM_ARGUMENTS, timeout=PATIENCE
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: "Browser", server: str) -> "Iterator[Page]":
    """The page, which must neither log an error nor ask another host for anything."""
    from playwright.sync_api import expect  # noqa: PLC0415

    page = browser.new_page(viewport={"width": 390, "height": 844})
    problems: list[str] = []
    addresses: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text))
    page.on("request", lambda request: addresses.append(request.url))
    page.goto(server)
    expect(page.locator("#classes")).not_to_be_empty()
    yield page
    page.close()
    # Chromium logs a refused request by itself.
    assert [text for text in problems if not text.startswith("Failed to load resource")] == []
    assert [url for url in addresses if not url.startswith((server, "data:"))] == []
