"""The report over damaged and outdated files: each is named, or drawn again."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from models.bundle import BundleError
from tests.helpers import ROOT
from training.report.report import StaleError, check_report, write_report


def test_a_damaged_or_outdated_file_is_named_or_drawn_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models"
    shutil.copytree(ROOT / "models", models, ignore=shutil.ignore_patterns("*.onnx", "*.py"))

    plot = models / "first/2/curves.png"
    plot.write_bytes(plot.read_bytes()[:20])
    familiarity = models / "familiarity.json"
    measured = json.loads(familiarity.read_bytes())
    measured["models"]["final"] = "another file's"
    familiarity.write_text(json.dumps(measured))
    write_report(models)
    assert "familiarity.json was measured on other model files" in capsys.readouterr().err
    with Image.open(plot) as image:
        image.verify()
    with pytest.raises(StaleError, match=r"familiarity\.json was measured on other model files"):
        check_report(models)
    familiarity.write_text("{}")
    with pytest.raises(BundleError, match=r"familiarity\.json is not valid"):
        write_report(models)
