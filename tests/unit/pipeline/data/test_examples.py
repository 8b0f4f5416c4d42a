"""Examples of a data set for its page, and notes on samples that occur twice."""

from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.contracts.examples import Example
from app.contracts.spec import PreprocessSpec, SplitSpec
from worker.pipeline.data import duplicates, open_dataset
from worker.pipeline.data.dataset import Dataset
from worker.pipeline.data.duplicates import duplicate_notes
from worker.pipeline.data.examples import examples
from worker.pipeline.data.labels import Labels
from worker.pipeline.data.raw import RawData
from worker.pipeline.data.rows import RowFile, Rows


def dataset(folder: Path, **arrays: NDArray[Any]) -> Dataset:
    path = folder / "d.npz"
    np.savez(path, **arrays)
    return open_dataset(path, "npz", PreprocessSpec(), folder)


def pixels(example: dict[str, Any]) -> NDArray[np.uint8]:
    found = np.frombuffer(b64decode(example["pixels"]), np.uint8)
    return found.reshape(example["height"], example["width"], example["channels"])


def test_every_class_has_an_example_and_images_become_small(tmp_path: Path) -> None:
    x = np.zeros((40, 200, 100, 3), np.uint8)
    x[:20, :, :, 1] = 250
    y = np.array(["green"] * 20 + ["black"] * 20)
    found = examples(dataset(tmp_path, x=x, y=y, split=np.zeros(40, np.uint8)))
    assert len(found) == 12
    assert {each["label"] for each in found} == {"green", "black"}
    for each in found:
        Example.model_validate(each)
        assert (each["height"], each["width"]) == (64, 32)
        assert pixels(each).max() == (250 if each["label"] == "green" else 0)
        assert (pixels(each)[:, :, 0] == 0).all()


@pytest.mark.parametrize("value", [0.0, 1e30, -3.5])
def test_floats_are_stretched_to_bytes(tmp_path: Path, value: float) -> None:
    x = np.full((3, 1, 5, 7), value, np.float32)
    x[:, :, 0, 0] = value + abs(value)
    first = examples(dataset(tmp_path, x=x, y=np.arange(3)))[0]
    assert (first["height"], first["width"], first["channels"]) == (5, 7, 1)
    assert pixels(first)[0, 0] == (255 if value else 0)


def test_other_things_than_images_have_no_examples(tmp_path: Path) -> None:
    assert examples(dataset(tmp_path, x=np.ones((4, 3), np.float32), y=np.arange(4))) == []


def test_boxes_become_shares_of_the_image(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(3 * 20 * 10))
    boxes = np.full((1, 3, 6), -1, np.float32)
    boxes[0, 0] = [1, 2, 5, 99, 10, 0]  # beyond the right edge
    (tmp_path / "y").write_bytes(boxes.tobytes())
    rows = Rows([RowFile(tmp_path / "x", 0, 1, (3, 20, 10), np.dtype(np.uint8))])
    where = Rows([RowFile(tmp_path / "y", 0, 1, (3, 6), np.dtype(np.float32))])
    labels = Labels("boxes", None, ("cat", "dog"), 2, rows=where)
    raw = RawData(rows, labels, np.zeros(1, np.uint8))
    [found] = examples(Dataset(raw, PreprocessSpec(), SplitSpec()))
    assert found["label"] == "dog"
    assert found["boxes"] == ({"label": "dog", "x0": 0.2, "y0": 0.25, "x1": 1.0, "y1": 0.5},)


def test_labelled_keypoints_become_shares_of_the_image(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(3 * 20 * 10))
    values = np.full((1, 2, 12), -1, np.float32)
    values[0, 0] = [0, 0, 0, 10, 20, 200, 5, 5, 2, 3, 3, 0]  # the second one is not labelled
    (tmp_path / "y").write_bytes(values.tobytes())
    rows = Rows([RowFile(tmp_path / "x", 0, 1, (3, 20, 10), np.dtype(np.uint8))])
    where = Rows([RowFile(tmp_path / "y", 0, 1, (2, 12), np.dtype(np.float32))])
    labels = Labels("keypoints", None, ("nose", "tail"), 2, rows=where)
    [found] = examples(
        Dataset(RawData(rows, labels, np.zeros(1, np.uint8)), PreprocessSpec(), SplitSpec())
    )
    assert found["label"] == "nose, tail"
    assert found["points"] == ({"label": "nose", "x": 0.5, "y": 0.25},)


def test_samples_that_occur_twice_are_noted(tmp_path: Path) -> None:
    x = np.arange(6, dtype=np.uint8).repeat(4).reshape(6, 1, 2, 2)
    x[3] = x[0]  # both in training
    x[5] = x[1]  # a test sample that is trained on
    split = np.array([0, 0, 0, 0, 2, 2], np.uint8)
    found = dataset(tmp_path, x=x, y=np.arange(6) % 2, split=split)
    leaked, copies = duplicate_notes(found.rows, found.split)
    assert "1 validation or test sample is also in the training split" in leaked
    assert copies.startswith("2 samples are copies of another one")
    assert next(duplicate_notes(found.rows, np.zeros(6, np.uint8))) == copies


def test_only_the_first_samples_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates, "MAX_SAMPLES", 3)
    x = np.zeros((9, 1, 2, 2), np.uint8)
    [note] = duplicate_notes(dataset(tmp_path, x=x, y=np.arange(9) % 2).rows, np.zeros(9, np.uint8))
    assert note == "2 samples among the first 3 are copies of another one"
