"""Kinds of labels by their values, and the arrays and columns that hold them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from secateur.engine.errors import DataError
from tests.unit.pipeline.data.files import npz, opened, parquet, png
from worker.pipeline.data import Split

X = np.arange(80).reshape(20, 2, 2).astype(np.uint8)
Y = np.arange(20) % 4
ONE_HOT = np.eye(4)[Y]
IMAGES = [png(i) for i in range(20)]

CLASSES = {
    "a column": Y[:, None],
    "a row": Y[None],
    "a column of bytes": Y[:, None].astype(np.uint8),
    "uint64": Y.astype(np.uint64),
    "floats": Y.astype(np.float32),
    "a column of floats": Y[:, None].astype(np.float64),
    "one-hot": ONE_HOT.astype(int),
    "one-hot floats": ONE_HOT.astype(np.float32),
    "one-hot booleans": ONE_HOT.astype(bool),
    "digits in text": Y.astype(str),
    "digits in bytes": Y.astype(bytes),
}


@pytest.mark.parametrize("name", CLASSES)
def test_classes_are_classes_however_they_are_stored(name: str, tmp_path: Path) -> None:
    dataset = opened(tmp_path, npz(x=X, y=CLASSES[name]))
    _, y = dataset.batch(torch.arange(20))
    assert dataset.labels_kind == "classes"
    assert y is not None
    assert (y.dtype, y.tolist()) == (torch.int64, Y.tolist())
    assert (dataset.num_classes, dataset.class_names) == (4, ("0", "1", "2", "3"))


def test_booleans_are_two_classes(tmp_path: Path) -> None:
    for y in (Y > 1, (Y > 1)[:, None]):
        dataset = opened(tmp_path, npz(x=X, y=y))
        assert (dataset.labels_kind, dataset.num_classes) == ("classes", 2)


def test_strings_are_classes_in_sorted_order_or_by_class_names(tmp_path: Path) -> None:
    texts = np.array(["dog", "cat", "emu", "dog"] * 5)
    by_name = opened(tmp_path, npz(x=X, y=texts))
    assert by_name.class_names == ("cat", "dog", "emu")
    names = np.array(["emu", "dog", "cat", "yak"])
    given = opened(tmp_path, npz(x=X, y=texts, class_names=names))
    assert given.class_names == tuple(names)
    _, y = given.batch(torch.arange(4))
    assert y is not None
    assert y.tolist() == [1, 2, 0, 1]
    numbers = [str(i % 11) for i in range(20)]
    column = opened(tmp_path, parquet(image=IMAGES, label=numbers), "parquet")
    _, y = column.batch(torch.arange(20))
    assert y is not None
    assert y.tolist() == [int(number) for number in numbers]


def test_rows_that_are_not_one_hot_are_several_classes(tmp_path: Path) -> None:
    several = ONE_HOT.copy()
    several[3, 0] = 1
    for y in (several, several.astype(bool), several.astype(np.int8)):
        dataset = opened(tmp_path, npz(x=X, y=y))
        assert dataset.labels_kind == "multi_label"
        _, found = dataset.batch(torch.arange(20))
        assert found is not None
        assert np.array_equal(found.numpy(), several)


def test_measurements_are_numbers(tmp_path: Path) -> None:
    for y in (Y / 2, -Y.astype(float), Y * 1000.0, np.stack([Y / 3, Y], 1)):
        assert opened(tmp_path, npz(x=X, y=y)).labels_kind == "numbers"


def said(folder: Path, y: Any, **arrays: Any) -> str:
    return "; ".join(opened(folder, npz(x=X, y=y, **arrays)).notes)


def test_labels_with_a_second_reading_get_a_note(tmp_path: Path) -> None:
    assert "every row of the labels is one-hot" in said(tmp_path, ONE_HOT)
    assert "the labels are whole numbers, stored as float64" in said(tmp_path, Y * 1.0)
    assert "the labels start at 1" in said(tmp_path, Y + 1)
    names = np.array([f"class {i}" for i in range(256)])
    assert "start at 1" not in said(tmp_path, Y + 1, class_names=names)
    ignored = np.where(Y == 3, 255, Y).astype(np.uint8)
    assert "the label 255, in 5 of 20 samples, is far from the others, which go up to 2" in said(
        tmp_path, ignored
    )
    assert "for two classes use 0 and 1" in said(tmp_path, np.where(Y > 1, 1.0, -1.0))
    assert "sums to 1, as probabilities do" in said(tmp_path, ONE_HOT * 0.9 + 0.025)


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (np.where(Y == 3, -1, Y), "labels run from -1 to 2; -1, in 5 of 20 samples, often means"),
        (np.where(Y > 1, 1, -1), "labels run from -1 to 1; classes count from 0: write 0 for -1"),
        (np.where(Y == 3, np.nan, Y / 2), "sample 3 has nan, 5 in all"),
        (np.array([["a", "b"]] * 20), r"labels are strings of shape \(20, 2\)"),
        (np.array(["\ud800"] * 20), "the labels hold strings that are not valid Unicode"),
    ],
)
def test_labels_that_cannot_be_learnt_are_named(y: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        opened(tmp_path, npz(x=X, y=y))


def arrays(*names: str) -> dict[str, Any]:
    """Return arrays by name: 12 training samples, and 8 in the other splits."""
    sizes = {"train": 12, "test": 5, "val": 3}
    found: dict[str, Any] = {}
    for name in names:
        size = next((n for word, n in sizes.items() if word in name.casefold()), 12)
        is_labels = any(word in name.casefold() for word in ("y", "label", "target"))
        found[name] = Y[:size] if is_labels else X[:size]
    return found


SPELLINGS = {
    "keras": ["x_train", "y_train", "x_test", "y_test"],
    "capitals": ["X_train", "Y_train", "X_test", "Y_test", "X_val", "y_val"],
    "medmnist": [f"{s}_{a}" for s in ("train", "val", "test") for a in ("images", "labels")],
    "glued": ["trainX", "trainY", "testX", "testY"],
    "one and a rest": ["x", "y", "x_test", "y_test"],
    "whole words": ["training_data", "training_targets", "testing_data", "testing_targets"],
    "plain": ["images", "labels"],
    "plain capitals": ["X", "Y"],
    "data and target": ["data", "target"],
    "valid": ["x_train", "y_train", "x_valid", "y_valid"],
}  # fmt: skip


@pytest.mark.parametrize("name", SPELLINGS)
def test_arrays_are_known_by_the_usual_names(name: str, tmp_path: Path) -> None:
    given = arrays(*SPELLINGS[name])
    dataset = opened(tmp_path, npz(**given))
    assert dataset.labels_kind == "classes"
    assert dataset.summary()["left_out"] == []
    has_test = any("test" in array.casefold() for array in given)
    has_validation = any("val" in array.casefold() for array in given)
    sizes = [len(dataset.indices(split)) for split in Split]
    if has_test or has_validation:
        assert sizes == [12, 3 * has_validation, 5 * has_test]
    else:
        assert sum(sizes) == 12


def test_arrays_without_names_are_samples_and_labels(tmp_path: Path) -> None:
    dataset = opened(tmp_path, npz(arr_0=X, arr_1=Y))
    assert dataset.num_classes == 4
    assert "'arr_0' is read as samples" in "; ".join(dataset.notes)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            arrays("x", "y", "x_train"),
            "'x' and 'x_train' could both belong to the training samples",
        ),
        (arrays("x_train", "trainX"), "'trainX' and 'x_train' mean the same thing"),
        (arrays("x_test", "y_test"), "no array of training samples"),
        (arrays("x_train", "y_train", "x_test"), "'y_train' but no array 'y_test'"),
        (
            {"x": np.zeros((4, 4, 3, 20), np.uint8), "y": Y},
            "samples must come first; use np.moveaxis",
        ),
        ({"x": X.astype(np.int64), "y": Y}, "give pixels from 0 to 255 as uint8"),
    ],
)
def test_arrays_that_could_be_several_things_are_refused(
    given: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=words):
        opened(tmp_path, npz(**given))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_samples_that_are_not_finite_are_named(value: float, tmp_path: Path) -> None:
    x = X.astype(np.float64)
    bad = x.copy()
    bad[7, 1, 1] = bad[9, 0, 0] = value
    with pytest.raises(DataError, match=r"sample 7 of the array 'x' holds .*: 2 of 20 samples"):
        opened(tmp_path, npz(x=bad, y=Y))
    with pytest.raises(
        DataError, match=r"sample 7 of the array 'test_x' holds .*: 2 of 40 samples"
    ):
        opened(tmp_path, npz(train_x=x, train_y=Y, test_x=bad, test_y=Y))


def test_constant_samples_and_unscaled_floats_get_notes(tmp_path: Path) -> None:
    def notes(x: Any, **spec: Any) -> str:
        return "; ".join(opened(tmp_path, npz(x=x, split=np.zeros(20)), **spec).notes)

    assert "every value of all training samples is 0" in notes(np.zeros_like(X))
    colours = np.random.default_rng(0).integers(0, 256, (20, 3, 4, 4), np.uint8)
    assert "value" not in notes(colours)
    flat, black = colours.copy(), colours.copy()
    flat[:, 1], black[3] = 9, 0
    assert "channel 1 has a single value in all training samples" in notes(flat)
    assert "1 of 20 training samples holds a single value" in notes(black)
    assert "floats from 0 to 255" in notes(np.float32(colours))
    assert "floats" not in notes(np.float32(colours), scale=1 / 255)


def hugging_face(**features: Any) -> dict[str, str]:
    return {"huggingface": json.dumps({"info": {"features": features}})}


STRUCTS = [{"bytes": image, "path": None} for image in IMAGES]
NAMED = {"_type": "ClassLabel", "names": ["a", "b", "c", "d"]}
TABLES: dict[str, tuple[bytes, str, tuple[str, ...], list[str]]] = {
    "beans": (parquet(image=STRUCTS, labels=Y), "classes", ("0", "1", "2", "3"), []),
    "cifar": (
        parquet(hugging_face(fine_label=NAMED), img=STRUCTS, fine_label=Y, coarse_label=Y),
        "classes",
        ("a", "b", "c", "d"),
        ["coarse_label"],
    ),
    "a class label of another name": (
        parquet(hugging_face(cell=NAMED), photo=IMAGES, cell=Y, patient=Y),
        "classes",
        ("a", "b", "c", "d"),
        ["patient"],
    ),
    "no label that is known": (parquet(image=STRUCTS, age=Y), "none", (), ["age"]),
    "one-hot lists": (
        parquet(image=IMAGES, target=list(ONE_HOT)),
        "classes",
        ("0", "1", "2", "3"),
        [],
    ),
    "bytes of another name": (parquet(scan=IMAGES, Label=Y), "classes", ("0", "1", "2", "3"), []),
}


@pytest.mark.parametrize("name", TABLES)
def test_columns_are_found_and_the_others_named(name: str, tmp_path: Path) -> None:
    data, kind, names, unused = TABLES[name]
    dataset = opened(tmp_path, data, "parquet")
    assert (dataset.labels_kind, dataset.class_names) == (kind, names)
    assert [n for entry in dataset.summary()["left_out"] for n in entry["names"]] == unused
    assert all(f"'{column}'" in "; ".join(dataset.notes) for column in unused)
