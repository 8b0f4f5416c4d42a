"""Parquet files: those of Hugging Face are read, unsupported ones refused."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from secateur.engine.errors import DataError
from tests.unit.pipeline.data.files import opened, parquet, png

IMAGES = [png(i) for i in range(10)]
LABELS = list(range(10))


def test_class_names_are_taken_from_hugging_faces_metadata(tmp_path: Path) -> None:
    names = [f"class {i}" for i in range(12)]
    features = {"label": {"names": names, "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    data = parquet(metadata, image=IMAGES, label=LABELS)
    dataset = opened(tmp_path, data, "parquet")
    assert dataset.class_names == tuple(names)
    assert dataset.num_classes == 10
    broken = parquet({"huggingface": "{not json"}, image=IMAGES, label=LABELS)
    assert opened(tmp_path, broken, "parquet").class_names == tuple("0123456789")


@pytest.mark.parametrize("type_", [pa.binary(), pa.large_binary(), pa.binary_view()], ids=str)
def test_images_are_binary_of_any_kind(type_: pa.DataType, tmp_path: Path) -> None:
    dataset = opened(tmp_path, parquet(image=pa.array(IMAGES, type_)), "parquet")
    x, _ = dataset.batch(torch.arange(10))
    assert x[:, 0, 0, 0].mul(255).round().tolist() == LABELS


def test_colours_and_sizes_are_those_asked_for(tmp_path: Path) -> None:
    images = [png(size=(9, 5), mode="RGB"), png(size=(3, 30))]
    dataset = opened(tmp_path, parquet(image=images), "parquet", resize=(6, 8), channels="grey")
    assert dataset.sample_shape == (1, 6, 8)


TABLES = {
    "column 'image' with the bytes of images; it has text": {"text": ["a"] * 10},
    "it could be any of front, back": {"front": IMAGES, "back": IMAGES},
    "column 'image' has type string": {"image": ["1.png"] * 10},
    "column 'image' has type struct": {"image": [{"path": "1.png"}] * 10},
    "image in row 3 cannot be decoded": {"image": [*IMAGES[:3], b"hello", *IMAGES[4:]]},
    "row 4 holds no image": {"image": [*IMAGES[:4], None, *IMAGES[5:]]},
    "row 5 holds no image": {"image": [{"bytes": i} for i in [*IMAGES[:5], None, *IMAGES[6:]]]},
    "120x120 pixels": {"image": [png(size=(120, 120))]},
    "has 0 rows": {"image": pa.array([], pa.binary())},
    "column 'label' has type date32": {"image": IMAGES, "label": pa.array(LABELS, pa.date32())},
    "not have a value in every row": {"image": IMAGES, "label": [None, *LABELS[1:]]},
    "lists of different lengths": {"image": IMAGES, "label": [[0], *([[0, 1]] * 9)]},
    "different lengths": {"image": IMAGES, "label": [*([[0, 1]] * 9), [0]]},
    "zeros and ones": {"image": IMAGES, "label": [[0, 2]] * 10},
    "labels run from -1": {"image": IMAGES, "label": [-1, *LABELS[1:]]},
    "are not finite": {"image": IMAGES, "label": [float("nan")] * 10},
    "class name of 300 characters": {"image": IMAGES, "label": ["x" * 300] * 10},
    "column 'split' holds 'extra'": {"image": IMAGES, "split": ["train"] * 9 + ["extra"]},
    "column 'split' holds 'None'": {"image": IMAGES, "split": ["train"] * 9 + [None]},
    "marks no sample for training": {"image": IMAGES, "split": ["test"] * 10},
}


@pytest.mark.parametrize(("words", "columns"), TABLES.items(), ids=TABLES.keys())
def test_a_bad_table_is_refused_with_a_reason(
    words: str, columns: dict[str, object], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=words):
        opened(tmp_path, parquet(**columns), "parquet")


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    data = parquet(image=IMAGES, label=LABELS)
    rng = np.random.default_rng(0)
    for cut in (4, 100, len(data) // 2, len(data) - 1):
        with pytest.raises(DataError, match="not a Parquet file, or a damaged one"):
            opened(tmp_path, data[:cut], "parquet")
    for _ in range(200):  # any byte may be wrong: refused, or read, but never a crash
        broken = bytearray(data)
        broken[rng.integers(len(data))] ^= int(rng.integers(1, 256))
        try:
            dataset = opened(tmp_path, bytes(broken), "parquet")
        except DataError:
            continue
        assert len(dataset) == 10
