"""The documentation's page in Chromium: an image is uploaded through its form."""

import pytest
from playwright.sync_api import Browser, expect

from tests.helpers import ROOT, run_server

SHIP = ROOT / "serving" / "static" / "ship.png"


@pytest.mark.parametrize("key", [None, "a-key"])
def test_try_it_out_uploads_a_file(browser: Browser, key: str | None) -> None:
    with run_server(*(("--api-key", key) if key else ())) as address:
        page = browser.new_page()
        page.goto(f"{address}/docs/")
        if key:
            page.get_by_role("button", name="Authorize").click()
            page.locator("#api_key_value").fill(key)
            page.locator(".auth-container", has_text="X-API-Key").locator(
                "button.authorize"
            ).click()
            page.get_by_role("button", name="Close").first.click()
        operation = page.locator("#operations-default-post_predict")
        operation.click()
        operation.get_by_role("button", name="Try it out").click()
        operation.locator("input[type=file]").first.set_input_files(SHIP)
        operation.get_by_role("button", name="Execute").click()
        answer = operation.locator(".live-responses-table tbody")
        expect(answer.locator(".response-col_status").first).to_contain_text("200")
        expect(answer).to_contain_text("ship.png")
        page.close()
