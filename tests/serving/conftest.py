"""The page, opened as a phone would."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

expect.set_options(timeout=30_000)  # on a busy machine


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
    expect(page.locator("#classes")).not_to_be_empty()
    yield page
    page.close()
    # Chromium logs a refused request by itself.
    assert [text for text in problems if not text.startswith("Failed to load resource")] == []
    assert [url for url in addresses if not url.startswith((server, "data:"))] == []
