"""Presets become numbers when data are read, and the network's inputs are reported."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.contracts.spec import NO_PREPROCESS, PreprocessSpec
from secateur.engine.errors import DataError
from tests.unit.pipeline.data.files import npz, opened, zipped
from worker.pipeline.data.preprocess import network_sees

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (40, 3, 4, 4), dtype=np.uint8)
LABELS = np.arange(40) % 2


@pytest.mark.parametrize(
    ("spec", "low", "high"),
    [
        ({}, 0.0, 1.0),
        ({"preset": "unit"}, 0.0, 1.0),
        ({"preset": "symmetric"}, -1.0, 1.0),
        ({"preset": "imagenet"}, -2.118, 2.64),
    ],
)
def test_bytes_are_preprocessed_as_the_spec_says(
    spec: dict[str, Any], low: float, high: float, tmp_path: Path
) -> None:
    x = BYTES.copy()
    x[0, :, 0, :2] = [0, 255]
    dataset = opened(tmp_path, npz(x=x, y=LABELS, split=np.zeros(40)), **spec)
    seen = network_sees(dataset)
    assert (seen["min"], seen["max"]) == pytest.approx((low, high), abs=1e-3)
    assert seen["num_samples"] == 40
    assert (NO_PREPROCESS in dataset.notes) == (spec == {})


def test_a_preset_from_the_data_becomes_numbers_of_the_training_samples(tmp_path: Path) -> None:
    split = np.repeat([0, 2], [30, 10])
    x = BYTES.copy()
    x[30:] = 0
    dataset = opened(tmp_path, npz(x=x, y=LABELS, split=split), preset="from-data")
    train = x[:30].astype(np.float64) / 255
    assert dataset.preprocess.preset == "from-data"
    assert dataset.preprocess.mean == pytest.approx(train.mean((0, 2, 3)), rel=1e-5)
    assert dataset.preprocess.std == pytest.approx(train.std((0, 2, 3)), rel=1e-5)
    seen = network_sees(dataset)
    assert (seen["mean"], seen["std"]) == pytest.approx((0, 1), abs=1e-3)
    stored = PreprocessSpec.model_validate(dataset.preprocess.model_dump(mode="json"))
    assert stored == dataset.preprocess
    # What is stored are numbers: other samples do not change them.
    again = opened(tmp_path, npz(x=BYTES[:5], y=LABELS[:5]), **stored.model_dump())
    assert again.preprocess == stored


def test_floats_up_to_255_are_pixels_and_others_are_doubted(tmp_path: Path) -> None:
    dataset = opened(tmp_path, npz(x=BYTES.astype(np.float32), y=LABELS), preset="imagenet")
    assert dataset.preprocess.scale == pytest.approx(1 / 255)
    assert network_sees(dataset)["min"] > -2.2
    assert any("divided by 255" in note for note in dataset.notes)
    x = RNG.standard_normal((40, 3, 4, 4)).astype(np.float32)
    dataset = opened(tmp_path, npz(x=x, y=LABELS), preset="imagenet")
    assert dataset.preprocess.scale is None
    assert any("already normalised" in note for note in dataset.notes)
    dataset = opened(tmp_path, npz(x=x, y=LABELS))
    assert dataset.notes == opened(tmp_path, npz(x=x, y=LABELS), preset="from-data").notes


def test_a_preset_that_does_not_go_with_the_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"for 3 channels, but the samples have 1.*from-data"):
        opened(tmp_path, npz(x=BYTES[:, :1], y=LABELS), preset="imagenet")
    x = BYTES.copy()
    x[:, 1] = 7
    with pytest.raises(DataError, match="channel 1 has the same value"):
        opened(tmp_path, npz(x=x, y=LABELS), preset="from-data")


@pytest.mark.parametrize(
    "spec", [{"mean": [1e308]}, {"std": [1e-308]}, {"scale": 1e308}, {"mean": [0, 1e308, 0]}]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_preprocessing_beyond_float32_is_refused(
    spec: dict[str, Any], dtype: type, tmp_path: Path
) -> None:
    number = len(spec.get("mean", [0]))
    spec = {"mean": [0.0] * number, "std": [1.0] * number, **spec}
    with pytest.raises(DataError, match=r"number that float32 cannot hold: scale is .*mean.*std"):
        opened(tmp_path, npz(x=BYTES.astype(dtype), y=LABELS), **spec)


def test_grey_image_files_become_three_colours_for_three_means(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(BYTES[0, 0]).save(buffer, "PNG")
    files = {f"{name}/{i}.png": buffer.getvalue() for name in ("cat", "dog") for i in range(3)}
    dataset = opened(tmp_path, zipped(files), "zip", preset="imagenet")
    assert dataset.sample_shape == (3, 4, 4)
    assert dataset.preprocess.channels == "rgb"
