"""The lock has what every supported machine needs, without a download."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

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
