"""Statistics of a data set, and notes about imbalance and other pitfalls."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.pipeline.data.files import npz, opened
from worker.pipeline.data.statistics import MAX_SAMPLES, measure

RNG = np.random.default_rng(0)


def test_pixels_are_measured_in_the_training_split_alone(tmp_path: Path) -> None:
    x = RNG.integers(0, 256, (300, 3, 8, 8), np.uint8)
    x[200:] = 255
    split = np.repeat([0, 1], [200, 100])
    found = opened(tmp_path, npz(x=x, y=np.zeros(300, int), split=split)).summary()["statistics"]
    train = x[:200] / 255
    assert np.allclose(found["mean"], train.mean((0, 2, 3)), rtol=1e-5)
    assert np.allclose(found["std"], train.std((0, 2, 3)), rtol=1e-5)
    assert found["num_samples"] == 200


def test_merged_chunks_equal_numpys_statistics_far_from_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.pipeline.data.statistics._CHUNK_BYTES", 1000)
    x = (1e4 + RNG.normal(size=(500, 1, 5, 5))).astype(np.float32)
    dataset = opened(tmp_path, npz(x=x))
    found = measure(dataset._rows, np.arange(500))
    assert found.mean is not None
    assert found.std is not None
    assert np.allclose([found.mean[0], found.std[0]], [x.mean(dtype=float), x.std(dtype=float)])
    flat = opened(tmp_path, npz(x=x.reshape(500, 25)))
    assert measure(flat._rows, np.arange(500)).mean == pytest.approx(found.mean)


def test_large_data_sets_are_measured_at_evenly_spaced_samples(tmp_path: Path) -> None:
    x = np.arange(30_000, dtype=np.float32)[:, None]
    dataset = opened(tmp_path, npz(x=x, split=np.zeros(30_000, int)))
    assert dataset.statistics.num_samples == MAX_SAMPLES
    assert dataset.statistics.mean == pytest.approx((14_999.5,), abs=1)


def notes(folder: Path, **arrays: Any) -> str:
    dataset = opened(folder, npz(**arrays), preset="unit")
    summary = dataset.summary()
    json.dumps(summary, allow_nan=False)
    assert summary["notes"] == dataset.notes
    return "; ".join(dataset.notes)


def test_imbalance_and_missing_classes_get_notes(tmp_path: Path) -> None:
    y = np.repeat([0, 1, 3], [120, 10, 30])
    x, split = np.zeros((160, 2), np.uint8), np.arange(160) % 2
    summary = opened(tmp_path, npz(x=x, y=y, split=split)).summary()
    assert summary["imbalance"] == 12.0
    assert summary["class_counts"] == [120, 10, 0, 30]
    found = notes(tmp_path, x=x, y=y, split=split, class_names=np.array(["a", "b", "emu", "d"]))
    assert "the class 'emu' has no training sample" in found
    assert "12 times the training samples" in found
    assert "macro-F1" in found
    assert "80 validation samples: each counts for 1.25 percentage points of accuracy" in found
    unlabelled = notes(tmp_path, x=x, split=split)
    assert "80 validation samples: what is measured on so few is uncertain" in unlabelled
    assert "accuracy" not in unlabelled
    many = notes(tmp_path, x=x, y=np.where(y == 3, 99, y), split=split)
    assert "the classes '2', '3', '4', '5', '6' and 92 more have no training sample" in many


def test_a_sound_data_set_has_no_notes(tmp_path: Path) -> None:
    x = np.arange(2000).reshape(1000, 2).astype(np.uint8)
    found = notes(tmp_path, x=x, y=np.arange(1000) % 4)
    assert not found


def test_unusual_data_get_notes(tmp_path: Path) -> None:
    x, y = np.zeros((1000, 2), np.float32), np.zeros(1000, int)
    assert "one class" in notes(tmp_path, x=x, y=y)
    assert "no validation samples" in notes(tmp_path, x=x, y=y, split=y)
    assert "1 array was left out (not used): 'other'" in notes(tmp_path, x=x, other=y)
    several = np.stack([y, y + 1, y + 1], 1)
    assert "the class '0' has no training sample" in notes(tmp_path, x=x, y=several)
