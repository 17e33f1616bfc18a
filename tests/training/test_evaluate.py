"""What a record says of an exported file: calibration, stability, temperature, verification."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from models.bundle import BundleError
from models.record import Record
from tests.helpers import ROOT
from training.__main__ import main
from training.data import Split, cifar10
from training.export.calibrate import calibrate, fit
from training.measure.evaluate import calibration, score, shifted
from training.measure.predict import find_softmax, predict_with_logits
from training.measure.remeasure import remeasure


def test_calibration_of_answers_worked_by_hand() -> None:
    probabilities = np.full((4, 10), 0.0, dtype=np.float32)
    probabilities[:, 0], probabilities[:, 1] = 0.9, 0.1
    found = calibration(probabilities, np.array([0, 0, 0, 1]))
    assert found.mean_confidence == pytest.approx(0.9)
    assert found.expected_calibration_error == pytest.approx(0.9 - 0.75)
    # Three answers are off by .1 in two classes, one by .9.
    assert found.brier_score == pytest.approx((3 * 2 * 0.01 + 2 * 0.81) / 4)
    [full] = [b for b in found.reliability if b.count]
    assert found.reliability.index(full) == 13  # from 13/15 to 14/15
    assert (full.count, full.accuracy) == (4, 0.75)
    assert [(c.coverage, c.accuracy) for c in found.coverage if c.threshold in {0, 0.95}] == [
        (1.0, 0.75),
        (0.0, None),
    ]


def test_the_loss_of_a_sure_and_wrong_answer_is_not_clipped() -> None:
    logits = np.zeros((2, 10), dtype=np.float32)
    logits[0, 1] = 200  # the other class's probability is below float32's least number
    found = score(logits, np.array([0, 0]))
    assert found.loss == pytest.approx((200 + np.log(10)) / 2)
    assert found.accuracy == 0.5


def test_shifts_go_four_ways_over_a_reflected_border() -> None:
    image = np.arange(32 * 32 * 3, dtype=np.uint32).astype(np.uint8).reshape(32, 32, 3)
    left, right, up, down = shifted(np.stack([image] * 4))
    assert np.array_equal(left[:, :-2], image[:, 2:])
    assert np.array_equal(left[:, -2:], image[:, [30, 29]])
    assert np.array_equal(right[:, 2:], image[:, :-2])
    assert np.array_equal(up[:-2], image[2:])
    assert np.array_equal(down[2:], image[:-2])


def test_the_temperature_that_was_put_in_is_found() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (20_000, 10))
    labels = (logits + random.gumbel(size=logits.shape)).argmax(1)
    assert fit((3 * logits).astype(np.float32), labels) == pytest.approx(3, rel=0.05)


def test_a_calibrated_file_gives_the_same_answers_with_a_lower_loss() -> None:
    onnx_bytes = (ROOT / "models/first/1/model.onnx").read_bytes()
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (300, 32, 32, 3), dtype=np.uint8)
    before, logits = predict_with_logits(onnx_bytes, images)
    # Right in half of the cases, and too sure of it.
    labels = np.where(np.arange(300) % 2, before.argmax(1), before.argsort(1)[:, -2])
    split = Split(images, labels)
    calibrated, temperature = calibrate(onnx_bytes, split)
    after, calibrated_logits = predict_with_logits(calibrated, images)
    assert temperature > 1
    assert np.array_equal(after.argmax(1), before.argmax(1))
    np.testing.assert_allclose(calibrated_logits, logits / temperature, rtol=1e-5)
    assert score(calibrated_logits, split.labels).loss < score(logits, split.labels).loss
    expected = np.log(before[:, :1]) / temperature - np.log(before) / temperature
    np.testing.assert_allclose(np.log(after[:, :1]) - np.log(after), expected, atol=1e-3)


def test_a_file_that_does_not_end_in_a_softmax_is_measured_too() -> None:
    onnx_bytes = (ROOT / "models/first/2/model.onnx").read_bytes()
    images = np.random.default_rng(0).integers(0, 256, (99, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(99) % 10
    _, logits = predict_with_logits(onnx_bytes, images)
    model = onnx.load_from_string(onnx_bytes)
    find_softmax(model.graph).output[0] = "softmax"
    model.graph.node.append(onnx.helper.make_node("Identity", ["softmax"], ["probabilities"]))
    _, of_other = predict_with_logits(model.SerializeToString(), images)
    assert score(of_other, labels).loss == pytest.approx(score(logits, labels).loss, rel=1e-5)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "models/first/1", tmp_path / "first/1")
    return tmp_path


def test_verify_fails_where_the_record_says_otherwise(bundle: Path, cifar10_dir: Path) -> None:
    path = bundle / "first/1/metadata.json"
    record = json.loads(path.read_bytes())
    record["confusion_matrix"][0][0] += 100
    path.write_text(json.dumps(record))
    recorded = Record.model_validate(record).test_accuracy
    options = ["--models-dir", str(bundle), "--data-dir", str(cifar10_dir)]
    result = CliRunner().invoke(main, ["verify", *options, "--precision", "float32"])
    assert result.exit_code == 1
    found = f"{record['test_accuracy']:.2%}"  # before
    assert f"first version 1: recorded {recorded:.2%}, found {found[:4]}" in result.output
    assert result.stderr.endswith("differs from the record: first version 1\n")


def test_a_record_is_remeasured_from_the_files_alone(bundle: Path, cifar10_dir: Path) -> None:
    folder = bundle / "first/1"
    path = folder / "metadata.json"
    earlier = json.loads(path.read_bytes())
    del earlier["calibration"], earlier["stability"], earlier["int8"]["calibration"]
    path.write_text(json.dumps(earlier))
    everything = cifar10.load(cifar10_dir)
    few = replace(
        everything,
        train=everything.train.take(slice(800)),
        validation=everything.validation.take(slice(200)),
        test=everything.test.take(slice(500)),
    )
    record = remeasure(folder, few)
    assert record == Record.model_validate_json(path.read_bytes())
    assert record.calibration
    assert sum(b.count for b in record.calibration.reliability) == 500
    assert record.int8
    assert record.of_int8().calibration == record.int8.calibration
    assert record.history[-1].loss == earlier["history"][-1]["loss"]
    _, logits = predict_with_logits((folder / "model.onnx").read_bytes(), few.train.images)
    assert record.evaluated_train == score(logits, few.train.labels)

    (folder / "model.onnx").write_bytes(b"another model")
    with pytest.raises(BundleError, match=r"model\.onnx does not match the SHA-256"):
        remeasure(folder, few)
    earlier["sha256"] = hashlib.sha256(b"another model").hexdigest()
    path.write_text(json.dumps(earlier))
    with pytest.raises(BundleError, match=r"ONNX Runtime cannot load .*model\.onnx"):
        remeasure(folder, few)
    path.write_text("[]")
    with pytest.raises(BundleError, match=r"1/metadata\.json is not valid"):
        remeasure(folder, few)
