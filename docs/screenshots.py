"""docs/page*.png: each view of the page in Chromium; `python -m docs.screenshots`."""

import shutil
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.helpers import CHROMIUM_ARGUMENTS, run_server

FOLDER = Path(__file__).parent
WIDTH = 1000  # pixels
MARGIN = 12
PATIENCE = 120_000  # milliseconds, on a busy machine
CHAPTERS = ("random-labels", "techniques", "data", "width", "confidence")


def main() -> None:
    """Start the service and capture each view."""
    with run_server() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=CHROMIUM_ARGUMENTS
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": 800}, color_scheme="light")
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        page.click("[data-example='ship.png']")
        page.wait_for_selector(".answer")
        shoot(page, "page", "#drop", ".result")
        page.click("[data-example='frog.png']")
        page.get_by_role("button", name="Does the answer hold?").click()
        page.wait_for_selector(".stability")
        shoot(page, "page-stability", ".stability", ".stability >> nth=-1")
        page.goto(f"{address}/#overfitting")
        page.wait_for_selector(".chart")
        shoot(page, "page-overfitting", ".short", ".chapter >> nth=0")
        for chapter in CHAPTERS:  # as far as they are measured
            where = f".chapter:has([id='overfitting/{chapter}'])"
            if page.locator(where).count():
                shoot(page, f"page-{chapter}", where, where)
        page.goto(f"{address}/#card/final")
        page.wait_for_selector("#view-card table")
        shoot(page, "page-card", "#view-card h2", "#view-card table >> nth=1")
        browser.close()


def shoot(page: Page, name: str, first: str, last: str) -> None:
    """Write the part of the page from one element to another."""
    page.evaluate("scrollTo(0, 0)")
    top, bottom = (page.locator(where).first.bounding_box() for where in (first, last))
    assert top
    assert bottom
    y = top["y"] - MARGIN
    height = bottom["y"] + bottom["height"] + MARGIN - y
    page.screenshot(
        path=FOLDER / f"{name}.png",
        full_page=True,
        clip={"x": 0, "y": y, "width": WIDTH, "height": height},
    )


if __name__ == "__main__":
    main()
