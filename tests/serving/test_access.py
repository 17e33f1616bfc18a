"""API keys, other origins and proxies: refused or let through over real HTTP and in a browser."""

import http.server
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pytest
import requests
import tritonclient.http as triton
from playwright.sync_api import Browser, expect
from tritonclient.utils import InferenceServerException

from serving.app import create_app
from serving.settings import Settings
from tests.helpers import KEYS, check_problem, png, run_server, upload
from tests.serving.inference import image_input

APPS = ("tauri://localhost", "capacitor://localhost", "chrome-extension://abcdefghijklmnop")
OTHER_PAGE = """<!doctype html><output></output><script type="module">
const service = new URLSearchParams(location.search).get("service");
const form = new FormData();
const canvas = Object.assign(document.createElement("canvas"), { width: 32, height: 32 });
canvas.getContext("2d");
form.append("image", await new Promise((done) => canvas.toBlob(done)), "a.png");
let text;
try {
  const headers = { "X-API-Key": "second-key" };
  const response = await fetch(`${service}/predict`, { method: "POST", body: form, headers });
  const answer = await response.json();
  text = `${answer.predictions.length} ${response.headers.get("X-Request-ID").length}`;
} catch (error) { text = error.name; }
document.querySelector("output").textContent = text;
</script>"""


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A site of another origin, with a page that asks the service."""
    folder: Path = tmp_path_factory.mktemp("site")
    (folder / "page.html").write_text(OTHER_PAGE)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as site:
        threading.Thread(target=site.serve_forever).start()
        yield f"http://127.0.0.1:{site.server_port}"
        site.shutdown()


@pytest.fixture(scope="module")
def guarded(origin: str) -> Iterator[str]:
    """The service with two keys, read from the environment, and an allowed origin."""
    environment = {
        "SERVING_API_KEY": ", ".join(KEYS),
        "SERVING_CORS_ORIGINS": ",".join([origin, *APPS]),
    }
    log: list[str] = []
    with run_server(environment=environment, log=log) as address:
        yield address
        for key in (KEYS[0], "wrong-key"):
            requests.post(f"{address}/predict", headers={"X-API-Key": key})
    assert log
    assert not [line for line in log if "-key" in line]


def test_each_key_opens_in_either_header(guarded: str, image: npt.NDArray[np.uint8]) -> None:
    url, files = f"{guarded}/predict", upload(("a.png", png(image)))
    for key in KEYS:
        for headers in ({"Authorization": f"Bearer {key}"}, {"X-API-Key": key}):
            assert requests.post(url, files=files, headers=headers).status_code == 200
    for headers, words in (
        ({}, "X-API-Key"),
        ({"Authorization": "Basic Zmlyc3Qta2V5"}, "X-API-Key"),
        ({"Authorization": "Bearer third-key"}, "Invalid API key"),
        ({"Authorization": "Bearer"}, "Invalid API key"),
        ({"X-API-Key": ", ".join(KEYS)}, "Invalid API key"),
        ({"X-API-Key": "clé"}, "Invalid API key"),
    ):
        response = requests.post(url, files=files, headers=headers)
        check_problem(response, 401, words)
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert "predictions" not in response.json()


def test_a_client_without_a_key_reads_the_refusal_of_a_large_body(guarded: str) -> None:
    for _ in range(5):  # it was lost where the connection was closed on unread data
        sent = urllib.request.Request(f"{guarded}/predict", bytes(2**23 + 1))
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(sent)


def test_only_probes_metrics_and_the_page_are_open(guarded: str, only_first: Path) -> None:
    for path in ("/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready", "/metrics",
                 "/", "/static/page.js", "/docs/", "/openapi.json"):  # fmt: skip
        assert requests.get(f"{guarded}{path}").status_code == 200, path
    opened = set()
    keyed = Settings(models_dir=only_first, api_key=KEYS[0], metrics_need_key=True)
    app = create_app(keyed)
    for rule in app.url_map.iter_rules():
        path = re.sub("<[^>]*>", "1", rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            response = requests.request(method, f"{guarded}{path}")
            if response.status_code == 401:
                check_problem(response, 401)
            else:
                opened.add(rule.rule)
    assert opened == {
        *("/", "/static/<path:filename>", "/docs", "/docs/", "/docs/<path:path>", "/openapi.json"),
        *("/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready", "/metrics"),
    }
    client = app.test_client()
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"X-API-Key": KEYS[0]}).status_code == 200


def test_the_description_says_that_a_key_is_needed(guarded: str, server: str) -> None:
    document = requests.get(f"{guarded}/openapi.json").json()
    assert {"bearer", "key"} == {*document["components"]["securitySchemes"]}
    assert document["security"] == [{"bearer": []}, {"key": []}]
    for path, item in document["paths"].items():
        if "get" in item:
            url = guarded + path.format(name="first", version="1")
            is_open = item["get"].get("security") == []
            assert (requests.get(url).status_code != 401) == is_open, path
    assert "401" in document["paths"]["/predict"]["post"]["responses"]
    assert "security" not in requests.get(f"{server}/openapi.json").json()


def test_tritons_client_sends_the_key(guarded: str, image: npt.NDArray[np.uint8]) -> None:
    client = triton.InferenceServerClient(urlsplit(guarded).netloc)
    inputs = [image_input(image[None], binary=True)]
    answer = client.infer("first", inputs, headers={"Authorization": "Bearer first-key"})
    assert answer.as_numpy("probabilities").shape == (1, 10)
    with pytest.raises(InferenceServerException, match="requires an API key"):
        client.infer("first", inputs)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("api_key", ","),
        ("api_key", "one,,two"),
        ("api_key", "two words"),
        ("api_key", " "),
        ("cors_origins", "https://example.com/"),
        ("cors_origins", "example.com"),
        ("cors_origins", "https://*.example.com"),
        ("cors_origins", "null"),
        ("cors_origins", "tauri:localhost"),
    ],
)
def test_settings_that_would_open_or_do_nothing_are_refused(option: str, value: str) -> None:
    with pytest.raises(ValueError, match=option):
        Settings.model_validate({option: value})


def test_a_preflight_names_what_is_allowed(guarded: str, origin: str) -> None:
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-api-key, content-type",
    }
    for allowed in (origin, *APPS):
        answer = requests.options(f"{guarded}/predict", headers={**asked, "Origin": allowed})
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] == allowed
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
        assert answer.headers["Access-Control-Allow-Headers"] == "content-type, x-api-key"
    for other in ("http://127.0.0.1", f"{origin}.example.com", "tauri://other", "null"):
        answer = requests.options(f"{guarded}/predict", headers={**asked, "Origin": other})
        assert "Access-Control-Allow-Origin" not in answer.headers
    # Refusals can be read by the page, too.
    refusal = requests.post(f"{guarded}/predict", headers={"Origin": origin})
    check_problem(refusal, 401)
    assert refusal.headers["Access-Control-Allow-Origin"] == origin


def test_a_page_of_an_allowed_origin_reads_the_answer(
    browser: Browser, guarded: str, server: str, origin: str
) -> None:
    page = browser.new_page()
    page.goto(f"{origin}/page.html?service={guarded}")
    expect(page.locator("output")).to_have_text("1 36")
    page.goto(f"{origin}/page.html?service={server}")  # which allows no origin
    expect(page.locator("output")).to_have_text("TypeError")
    page.close()
