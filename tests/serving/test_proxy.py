"""Behind a real nginx, under a path prefix: the page, the documentation and their addresses."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, expect

from tests.helpers import ROOT, SHIP, run_server, takes_connections, wait_for

DOCUMENTED = ROOT / "deploy" / "nginx.conf"
CONFIGURATION = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {folder};
  proxy_temp_path {folder};
  fastcgi_temp_path {folder};
  uwsgi_temp_path {folder};
  scgi_temp_path {folder};
  server {{
    listen 127.0.0.1:{port};
    client_max_body_size 8m;
    client_body_buffer_size 8m;
    location /plain/ {{ proxy_pass {service}/; }}
    include {documented};
  }}
}}
"""


@pytest.fixture(scope="module")
def log() -> list[str]:
    """The lines that `behind_proxy` has logged so far."""
    return []


@pytest.fixture(scope="module")
def behind_proxy(log: list[str]) -> Iterator[str]:
    """Address of a service that trusts a proxy."""
    with run_server("--trusted-proxies", "1", log=log) as address:
        yield address


@pytest.fixture(scope="module")
def proxy(behind_proxy: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an nginx that has the service at /plain/, and at /classify/ as documented."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if not nginx:
        pytest.skip("there is no nginx here: apt-get install nginx-light")
    folder: Path = tmp_path_factory.mktemp("nginx")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    documented = folder / "documented.conf"
    documented.write_text(DOCUMENTED.read_text().replace("http://127.0.0.1:8000", behind_proxy))
    configuration = folder / "nginx.conf"
    configuration.write_text(
        CONFIGURATION.format(folder=folder, port=port, service=behind_proxy, documented=documented)
    )
    command = [nginx, "-e", "stderr", "-c", str(configuration)]
    subprocess.run([*command, "-t"], check=True)
    with subprocess.Popen(command) as process:
        wait_for(lambda: takes_connections(port))  # once its configuration is read
        yield f"http://127.0.0.1:{port}"
        process.terminate()


@pytest.mark.parametrize("prefix", ["/plain", "/classify"])
def test_the_page_and_the_documentation_work_under_a_prefix(
    browser: Browser, proxy: str, prefix: str
) -> None:
    page = browser.new_page()
    failed: list[str] = []
    page.on("response", lambda r: failed.append(f"{r.status} {r.url}") if not r.ok else None)
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.goto(f"{proxy}{prefix}/")
    expect(page.locator("#classes")).not_to_be_empty()
    page.set_input_files("#file", SHIP)
    expect(page.locator("#verdict")).not_to_be_empty()
    page.get_by_role("link", name="API").click()
    operation = page.locator("#operations-default-get_models")
    operation.click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table tbody .response-col_status")).to_contain_text(
        "200"
    )
    expect(operation.locator(".request-url")).to_contain_text(f"{proxy}{prefix}/models")
    assert failed == []
    page.close()


@pytest.mark.parametrize("prefix", ["/plain", "/classify"])
def test_redirects_keep_scheme_and_prefix(proxy: str, prefix: str) -> None:
    answer = requests.get(f"{proxy}{prefix}/docs", allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (302, "docs/")
    assert requests.get(f"{proxy}{prefix}/docs").url == f"{proxy}{prefix}/docs/"


@pytest.mark.parametrize("prefix", ["/plain", "/classify"])
def test_images_are_classified_through_it(proxy: str, prefix: str) -> None:
    with SHIP.open("rb") as ship:
        answer = requests.post(f"{proxy}{prefix}/predict", files={"image": ship})
    assert len(answer.json()["predictions"]) == 1
    large = SHIP.read_bytes() + bytes(7 * 2**20)
    answer = requests.post(f"{proxy}{prefix}/predict", files={"image": large})
    assert len(answer.json()["predictions"]) == 1


def test_forwarded_headers_count_only_where_proxies_are_trusted(
    behind_proxy: str, log: list[str], server: str, server_log: list[str]
) -> None:
    headers = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
    requests.get(f"{behind_proxy}/models", headers=headers)
    wait_for(lambda: any('"client":"203.0.113.7"' in line for line in log))
    requests.get(f"{server}/models", headers={**headers, "X-Request-ID": "forwarded"})
    wait_for(lambda: any('"forwarded"' in line for line in server_log))
    [line] = [line for line in server_log if '"forwarded"' in line]
    assert '"client":"127.0.0.1"' in line
    assert "203.0.113.7" not in line
    # gunicorn itself would take these from the machine's own proxy.
    assert requests.get(f"{server}/x/metrics", headers={"SCRIPT_NAME": "/x"}).status_code == 404
    contradiction = {"X-Forwarded-Proto": "https", "X-Forwarded-Ssl": "off"}
    assert requests.get(f"{server}/health/live", headers=contradiction).status_code == 200
