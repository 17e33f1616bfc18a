"""The image as the Dockerfile makes it, run as an orchestrator would."""

import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from tests.helpers import ROOT, SHIP, listening

SCRIPT = ROOT / "tests" / "container.sh"
MAX_LAYERS = 600 * 2**20  # bytes above the base


def missing() -> str | None:
    if os.environ.get("CONTAINER_TESTS") != "1":
        return "the image takes minutes to build; set CONTAINER_TESTS=1 to test it"
    if os.geteuid() != 0:
        return "only root can build and run the image"
    tools = [tool for tool in ("buildah", "debootstrap") if not shutil.which(tool)]
    return f"not installed: {', '.join(tools)}" if tools else None


pytestmark = [
    pytest.mark.container,
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]


@dataclass(frozen=True)
class Built:
    config: dict[str, Any]
    layers: list[Path]  # above the base


@pytest.fixture(scope="module")
def built() -> Built:
    result = subprocess.run([SCRIPT, "build", "cpu"], stdout=subprocess.PIPE, text=True, check=True)
    print(result.stdout)
    match = re.search(r"^image: (.+)$", result.stdout, re.MULTILINE)
    assert match
    folder = Path(match[1])
    manifest = json.loads((folder / "manifest.json").read_text())

    def blob(entry: dict[str, str]) -> Path:
        return folder / entry["digest"].removeprefix("sha256:")

    config = json.loads(blob(manifest["config"]).read_text())["config"]
    _base, *layers = map(blob, manifest["layers"])
    return Built(config, layers)


@dataclass(frozen=True)
class Running:
    address: str
    pid: int


@pytest.fixture(scope="module")
def container(built: Built) -> Iterator[Running]:
    with listening("env", "PORT=0", str(SCRIPT), "run") as (address, pid):
        yield Running(address, pid)


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, "run", *command],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_answers_as_the_checkout_does(container: Running, server: str) -> None:
    known = requests.get(f"{container.address}/models").json()["models"]
    theirs, ours = (
        requests.post(f"{address}/predict", data=SHIP.read_bytes()).json()
        for address in (container.address, server)
    )
    [image], [expected] = theirs["predictions"], ours["predictions"]
    assert known
    assert {model["model"] for model in image["models"]} == {model["name"] for model in known}
    for found, wanted in zip(image["models"], expected["models"], strict=True):
        assert found["class"] == wanted["class"]
        assert found["probabilities"] == pytest.approx(wanted["probabilities"], abs=2e-5)


def test_a_spooled_upload(container: Running) -> None:
    """The server writes a body past 64 KiB to a file, on a root that cannot be written to."""
    image = io.BytesIO()
    Image.new("RGB", (800, 800)).save(image, "BMP")
    response = requests.post(f"{container.address}/predict", data=image.getvalue())
    assert response.status_code == 200, response.text


def test_it_holds_no_right(container: Running) -> None:
    status = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{container.pid}/status").read_text().splitlines()
    )
    assert status["Uid"].split() == ["10001"] * 4
    assert status["Gid"].split() == ["10001"] * 4
    assert status["Groups"].strip() == ""
    assert {int(status[f"Cap{which}"], 16) for which in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {0}
    assert status["NoNewPrivs"] == "1"


@pytest.mark.usefixtures("built")
def test_the_root_is_read_only() -> None:
    result = run("touch", "/app/models/new")
    assert "Read-only file system" in result.stderr


def test_the_health_check(built: Built, container: Running) -> None:
    kind, *command = built.config["Healthcheck"]["Test"]
    assert kind == "CMD"
    port = container.address.rpartition(":")[2]
    healthy = run(*command, PORT=port)
    assert healthy.returncode == 0, healthy.stderr
    assert run(*command, PORT="1").returncode != 0


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("module", ["tensorflow", "keras", "onnx", "training", "uv"])
def test_what_only_others_need_is_left_out(module: str) -> None:
    result = run("python", "-c", f"import {module}")
    assert f"No module named '{module}'" in result.stderr


def test_no_layer_holds_what_the_service_does_not_need(built: Built) -> None:
    """A file that a later layer deletes is still shipped."""
    unwanted = re.compile(
        r"libonnxruntime_providers_(cuda|tensorrt)|/site-packages/(tensorflow|nvidia)"
        r"|/(uv|\.cache)$|^app/(models|serving)/(.*/)?(__pycache__|\.)"
    )
    for layer in built.layers:
        with tarfile.open(layer) as archive:
            names = archive.getnames()
        assert not [name for name in names if unwanted.search(name)]


def test_the_layers_are_small(built: Built) -> None:
    sizes = [layer.stat().st_size for layer in built.layers]
    assert sum(sizes) <= MAX_LAYERS, [f"{size >> 20} MiB" for size in sizes]


def test_the_models_and_the_code_follow_the_libraries(built: Built) -> None:
    """The order in which they change: a change rewrites the layers that follow it."""
    first_names = []
    for layer in built.layers:
        with tarfile.open(layer) as archive:
            files = [name for name in archive.getnames() if name.startswith("app/")]
        first_names.append({name.split("/")[1] for name in files})
    assert first_names == [{".venv"}, {"models"}, {"serving"}]


def test_the_labels(built: Built) -> None:
    labels = built.config["Labels"]
    assert labels["org.opencontainers.image.licenses"] == "MIT"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert labels["org.opencontainers.image.version"] == project["version"]
    assert labels["org.opencontainers.image.title"]
    assert labels["org.opencontainers.image.description"]
