"""The lock has what every supported machine needs, without a download."""

import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import parse_wheel_filename

from tests.helpers import ROOT

pytestmark = pytest.mark.skipif(not shutil.which("uv"), reason="uv is not on the PATH")


@pytest.mark.parametrize(
    ("platform", "package"),
    [
        ("x86_64-manylinux_2_28", "onnxruntime-gpu"),
        ("aarch64-manylinux_2_34", "onnxruntime-gpu"),
        ("aarch64-apple-darwin", "onnxruntime"),
        ("x86_64-pc-windows-msvc", "onnxruntime-gpu"),
    ],
)
def test_the_lock_has_a_wheel_of_each_package(platform: str, package: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [
            *("uv", "sync", "--locked", "--offline", "--dry-run", "--group", "training"),
            *("--python-platform", platform),
        ],
        cwd=ROOT,
        # macOS 14 is the oldest that ONNX Runtime has wheels for.
        env={
            **os.environ,
            "UV_PROJECT_ENVIRONMENT": str(tmp_path / "venv"),
            "MACOSX_DEPLOYMENT_TARGET": "14.0",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    installed = {line.split("==")[0] for line in result.stderr.splitlines() if "==" in line}
    assert f" + {package}" in installed
    assert (" + gunicorn" in installed) == ("windows" not in platform)


def tags_of(*platforms: str) -> set[Tag]:
    """Return which wheels CPython 3.14 installs there."""
    return {
        *cpython_tags((3, 14), platforms=platforms),
        *compatible_tags((3, 14), "cp314", platforms=platforms),
    }


MACHINES = {
    ("linux", "x86_64"): [f"manylinux_2_{minor}_x86_64" for minor in range(17, 29)],
    ("linux", "aarch64"): [f"manylinux_2_{minor}_aarch64" for minor in range(17, 35)],
    ("darwin", "arm64"): [*mac_platforms((14, 0), "arm64")],
    ("win32", "AMD64"): ["win_amd64"],
}


@pytest.mark.parametrize(("system", "machine"), MACHINES)
def test_the_lock_has_what_serving_needs_on_python_3_14(system: str, machine: str) -> None:
    """As a resolution would, on machines without this Python."""
    command = ("uv", "export", "--locked", "--offline", "--no-hashes", "--group", "otel")
    exported = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = [line for line in exported.splitlines() if line[:1].isalpha()]
    environment = {
        "python_version": "3.14",
        "python_full_version": "3.14.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "sys_platform": system,
        "platform_machine": machine,
        "platform_system": {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}[system],
        "os_name": "nt" if system == "win32" else "posix",
    }
    needed = {
        (requirement.name, str(requirement.specifier).removeprefix("=="))
        for requirement in map(Requirement, lines)
        if requirement.marker is None or requirement.marker.evaluate(environment)
    }
    assert {"onnxruntime" if system == "darwin" else "onnxruntime-gpu", "gevent"} <= {
        name for name, _ in needed
    }
    installable = tags_of(*MACHINES[system, machine])
    lacking = {
        package["name"]
        for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]
        if (package["name"], package["version"]) in needed
        and not any(
            parse_wheel_filename(wheel["url"].rpartition("/")[2])[3] & installable
            for wheel in package.get("wheels", ())
        )
    }
    assert lacking == set()
