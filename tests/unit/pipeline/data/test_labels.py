"""Labels in every format, and data sets without labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from tests.unit.pipeline.data.files import npz, opened, parquet, png, tarred, zipped
from worker.pipeline.data import Split

X = np.zeros((10, 2, 2), np.uint8)
IMAGES = [png(i) for i in range(10)]
CLASSES = np.arange(10) % 3
SEVERAL = (np.arange(30).reshape(10, 3) % 2).astype(np.uint8)
NUMBERS = np.linspace(-1, 1, 20).reshape(10, 2)

LABELS = {
    "whole numbers": (CLASSES, "classes", torch.int64),
    "booleans": (CLASSES == 1, "classes", torch.int64),
    "rows of zeros and ones": (SEVERAL, "multi_label", torch.float32),
    "rows of booleans": (SEVERAL == 1, "multi_label", torch.float32),
    "floats": (NUMBERS[:, 0], "numbers", torch.float32),
    "rows of floats": (NUMBERS.astype(np.float32), "numbers", torch.float32),
}


@pytest.mark.parametrize("name", LABELS)
def test_the_kind_of_labels_follows_from_their_type_and_shape(name: str, tmp_path: Path) -> None:
    y, kind, dtype = LABELS[name]
    column = pa.array(list(y)) if y.ndim == 2 else y
    for data, file_kind in (
        (npz(x=X, y=y), "npz"),
        (npz(images=X, labels=y), "npz"),
        (npz(x=X[:6], y=y[:6], x_val=X[6:], y_val=y[6:]), "npz"),
        (parquet(image=IMAGES, label=column), "parquet"),
        (parquet(image=IMAGES, y=column), "parquet"),
    ):
        dataset = opened(tmp_path, data, file_kind)
        _, found = dataset.batch(torch.arange(10))
        assert dataset.labels_kind == dataset.summary()["labels"] == kind
        assert found is not None
        assert found.dtype == dtype
        assert np.allclose(found.numpy(), y)
        assert dataset.num_classes == (0 if kind != "classes" else int(y.max()) + 1)
        assert len(dataset.class_names) == dataset.num_classes


FLAT = {f"{i}.png": image for i, image in enumerate(IMAGES)}
SPLIT = {f"{'train' if i < 7 else 'test'}/{i}.png": image for i, image in enumerate(IMAGES)}
PACKED = {f"./pets/{name}": image for name, image in SPLIT.items()}
UNLABELLED: dict[str, tuple[bytes, str, list[int]]] = {
    "npz": (npz(x=X), "npz", [8, 1, 1]),
    "npz with splits": (npz(x=X[:7], x_val=X[7:]), "npz", [7, 3, 0]),
    "flat zip": (zipped(FLAT), "zip", [8, 1, 1]),
    "flat tar": (tarred(FLAT), "tar", [8, 1, 1]),
    "zip with splits": (zipped(SPLIT), "zip", [7, 0, 3]),
    "tar with splits": (tarred(SPLIT, "w:gz"), "tar", [7, 0, 3]),
    "a packed folder": (tarred(PACKED), "tar", [7, 0, 3]),
    "parquet": (parquet(image=IMAGES), "parquet", [8, 1, 1]),
}


@pytest.mark.parametrize("name", UNLABELLED)
def test_samples_without_labels_are_a_data_set(name: str, tmp_path: Path) -> None:
    data, kind, sizes = UNLABELLED[name]
    dataset = opened(tmp_path, data, kind)
    x, y = dataset.batch(torch.arange(10))
    assert y is None
    assert len(x) == 10
    assert [len(dataset.indices(split)) for split in Split] == sizes
    summary = dataset.summary()
    assert (summary["labels"], summary["num_classes"], summary["class_names"]) == ("none", 0, [])
    assert (summary["class_counts"], summary["imbalance"]) == ([], None)
    assert any("no labels" in note for note in dataset.notes)


def test_columns_of_several_classes_may_have_names(tmp_path: Path) -> None:
    dataset = opened(tmp_path, npz(x=X, y=SEVERAL, class_names=np.array(["a", "b", "c"])))
    assert dataset.class_names == ("a", "b", "c")
    assert dataset.summary()["class_counts"] == SEVERAL.sum(0).tolist()


def test_class_folders_and_splits_may_lie_in_one_folder(tmp_path: Path) -> None:
    files = {f"pets/{split}/cat/{i}.png": png(i) for i in range(3) for split in ("train", "val")}
    dataset = opened(tmp_path, tarred(files), "tar")
    assert dataset.class_names == ("cat",)
    assert dataset.summary()["splits"] == {"train": 3, "validation": 3, "test": 0}


def test_strings_are_classes_in_the_order_of_their_names(tmp_path: Path) -> None:
    texts: list[str] = ["dog", "cat", "emu", "cat", "dog"] * 2
    columns: list[Any] = [
        texts,
        pa.array(texts).dictionary_encode(),
        pa.array(texts, pa.large_string()),
    ]
    for column in columns:
        dataset = opened(tmp_path, parquet(image=IMAGES, label=column), "parquet")
        _, y = dataset.batch(torch.arange(10))
        assert dataset.class_names == ("cat", "dog", "emu")
        assert y is not None
        assert y.tolist() == [1, 0, 2, 0, 1] * 2
