"""The page, opened as a phone would, and a folder of images to classify."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

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


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 images, more than a batch, in folders; among them a broken one, and other files."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for i in range(40):
        path = folder / f"{i % 3}" / f'{i:02}, a "drawing".PNG'
        path.parent.mkdir(exist_ok=True)
        blocks = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((32, 32)).save(path, "PNG")
    (folder / "1" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.png").write_bytes(b"")
    return folder
