"""Boxes in Parquet files, in the forms that Hugging Face's `datasets` writes."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from app.contracts.settings import LimitSettings
from app.contracts.spec import PreprocessSpec
from secateur.engine.errors import DataError, DataTooLargeError
from tests.unit.pipeline.data.files import opened, parquet, png
from worker.pipeline.data import open_dataset

IMAGES = [{"bytes": png(size=(16, 8)), "path": "a.png"}] * 2
BOXES = [[[4, 2, 8, 4], [0, 0, 0, 4]], []]
STRUCT: list[dict[str, Any]] = [
    {"id": [1, 2], "bbox": BOXES[0], "category": [1, 0]},
    {"id": [], "bbox": [], "category": []},
]
LIST: list[list[dict[str, Any]]] = [[{"bbox": BOXES[0][0], "label": 1, "iscrowd": 1}], []]
CLASSES = {"_type": "ClassLabel", "names": ["cat", "dog"]}
FEATURES = {
    "struct of lists": {"feature": {"bbox": {}, "category": CLASSES}, "_type": "Sequence"},
    "lists in a struct": {"bbox": {}, "category": {"feature": CLASSES, "_type": "Sequence"}},
    "list of structs": [{"bbox": {}, "label": CLASSES}],
}


@pytest.mark.parametrize("form", FEATURES)
def test_objects_are_boxes_with_the_names_of_their_classes(form: str, tmp_path: Path) -> None:
    metadata = {"huggingface": json.dumps({"info": {"features": {"objects": FEATURES[form]}}})}
    objects = LIST if form == "list of structs" else STRUCT
    data = parquet(metadata, image=IMAGES, objects=objects, image_id=[1, 2])
    found = opened(tmp_path, data, "parquet", resize=(16, 16))
    assert (found.labels_kind, found.class_names) == ("boxes", ("cat", "dog"))
    assert found.preprocess.fit == "letterbox"
    _, rows = found.batch(torch.arange(2))
    assert rows is not None
    crowd = float(form == "list of structs")
    assert rows.tolist() == [[[1, 4, 6, 12, 10, crowd]], [[-1] * 6]]
    assert found.summary()["class_counts"] == [0, 1]
    assert found.summary()["left_out"][0]["names"] == ["image_id"]


def test_classes_without_names_are_numbered(tmp_path: Path) -> None:
    found = opened(tmp_path, parquet(image=IMAGES, objects=STRUCT), "parquet")
    assert found.class_names == ("0", "1")


def one(**more: Any) -> dict[str, Any]:
    rows = [{**STRUCT[0], "bbox": [[4, 2, 8, 4]], "category": [0], **more}] * 2
    return {"image": IMAGES, "objects": rows}


REFUSED = {
    "has 1 boxes and 2 categories": one(category=[0, 1]),
    "a box of 5 numbers; rotated boxes are not supported": one(bbox=[[4, 2, 8, 4, 30]]),
    "of class -1; it needs left, top": one(category=[-1]),
    "of class None; it needs left, top": {
        "image": IMAGES,
        "objects": [[{"bbox": [4, 2, 8, 4], "label": None}]] * 2,
    },
    "the box None of class 0": {
        "image": IMAGES,
        "objects": [[{"bbox": None, "label": 0}], LIST[0]],
    },
    r"the box \[inf, 2.0": one(bbox=[[float("inf"), 2, 8, 4]]),
    "of class cat": {"image": IMAGES, "objects": [[{"bbox": [4, 2, 8, 4], "label": "cat"}]] * 2},
}


@pytest.mark.parametrize(("words", "columns"), REFUSED.items(), ids=REFUSED.keys())
def test_a_bad_object_is_refused_with_its_row(
    words: str, columns: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=f"column 'objects' of row 0 .*{words}"):
        opened(tmp_path, parquet(**columns), "parquet")


def test_a_class_beyond_the_named_ones_is_refused(tmp_path: Path) -> None:
    features = {"objects": {"feature": {"category": {**CLASSES, "names": ["cat"]}}}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    with pytest.raises(DataError, match="has class 1; the file names 1 classes"):
        opened(tmp_path, parquet(metadata, image=IMAGES, objects=STRUCT), "parquet")


@pytest.mark.parametrize("limits", [{"label_values": 11}, {"classes": 1}], ids=str)
def test_boxes_have_limits(limits: dict[str, int], tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(parquet(image=IMAGES, objects=STRUCT))
    with pytest.raises(DataTooLargeError, match=f"at most {next(iter(limits.values()))}"):
        open_dataset(path, "parquet", PreprocessSpec(), tmp_path, limits=LimitSettings(**limits))


def test_names_are_not_made_for_more_classes_than_allowed(tmp_path: Path) -> None:
    highest = 2**23  # a float32, as the rows are
    tracemalloc.start()
    try:
        with pytest.raises(DataTooLargeError, match=f"has {highest + 1} classes, at most"):
            opened(tmp_path, parquet(**one(category=[highest])), "parquet")
        assert tracemalloc.get_traced_memory()[1] < 64 * 1024**2
    finally:
        tracemalloc.stop()


def test_a_column_of_boxes_may_have_any_name(tmp_path: Path) -> None:
    fields = pa.struct({"bbox": pa.list_(pa.int64()), "label": pa.int64()})
    large = pa.array(LIST, pa.large_list(fields))
    assert opened(tmp_path, parquet(image=IMAGES, things=large), "parquet").labels_kind == "boxes"
