"""How well scores tell images from others: the figures of familiarity.json, measured again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.familiarity import agreement, read_familiarity
from tests.helpers import ROOT
from training.data import cifar10
from training.measure.familiarity import measure_familiarity
from training.measure.unfamiliar import unfamiliar_images


def test_agreement_worked_by_hand() -> None:
    sure, other = np.eye(10, dtype=np.float32)[[0]], np.eye(10, dtype=np.float32)[[1]]
    assert agreement([sure, sure]) == 0
    assert agreement([sure, other]) == pytest.approx(-np.log(2))


def test_unfamiliar_images_are_the_same_each_time() -> None:
    first, second = unfamiliar_images(), unfamiliar_images()
    assert all(np.array_equal(first[kind], second[kind]) for kind in first)
    assert {images.shape[1:] for images in first.values()} == {(32, 32, 3)}


def test_the_published_figures_are_of_the_bundled_models(tmp_path: Path, cifar10_dir: Path) -> None:
    published = read_familiarity(ROOT / "models")
    assert published is not None
    for name in published.models:
        (tmp_path / name).mkdir()
        (tmp_path / name / "2").symlink_to(ROOT / "models" / name / "2")
    dataset = cifar10.load(cifar10_dir)
    few = replace(
        dataset,
        validation=dataset.validation.take(slice(-500, None)),
        test=dataset.test.take(slice(400)),
    )
    unfamiliar = unfamiliar_images()
    kinds = {kind: unfamiliar[kind] for kind in ("noise", "text")}
    found = measure_familiarity(tmp_path, few, kinds)
    assert found.models == published.models
    for ours, recorded in zip(found.qualities, published.qualities, strict=True):
        for kind in kinds:
            assert ours.auroc[kind] == pytest.approx(recorded.auroc[kind], abs=0.05)
    for kind in ("test", *kinds):
        recorded_share = published.below_threshold[kind]
        assert found.below_threshold[kind] == pytest.approx(recorded_share, abs=0.05)
