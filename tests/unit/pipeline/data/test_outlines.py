"""COCO's outlines as masks: what is drawn, and what is refused with which words."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from secateur.engine.errors import DataError, DataTooLargeError
from tests.unit.pipeline.data.files import opened, zipped
from tests.unit.pipeline.data.test_layouts import BOX, GREY, coco, labels
from worker.pipeline.data.layouts.outlines import Outline, draw

SQUARE = {"image_id": 1, "category_id": 7, "segmentation": [[4, 2, 12, 2, 12, 6, 4, 6]]}
DOG = {"image_id": 1, "category_id": 9, "segmentation": [[6, 3, 8, 3, 8, 5, 6, 5]]}
RUNS = {"size": [8, 16], "counts": [0, 8, 120]}  # the first column
IMAGE = {"images/a.png": GREY}


def test_outlines_are_drawn_with_the_background_as_class_0_and_small_objects_on_top(
    tmp_path: Path,
) -> None:
    crowd = {"image_id": 1, "category_id": 7, "iscrowd": 1, "segmentation": RUNS}
    inside = {**crowd, "iscrowd": 0, "segmentation": {"size": [8, 16], "counts": [0, 2, 126]}}
    files = {**IMAGE, "a.json": coco(DOG, inside, crowd, SQUARE)}
    found = opened(tmp_path, zipped(files), "zip", resize=(8, 16), fit="stretch")
    assert (found.labels_kind, found.class_names) == ("masks", ("background", "cat", "dog"))
    wanted = np.zeros((8, 16))
    wanted[:, 0] = 255
    wanted[:2, 0] = 1
    wanted[2:6, 4:12] = 1
    wanted[3:5, 6:8] = 2
    assert (labels(found)[0].numpy() == wanted).all()


@pytest.mark.parametrize(("task", "kind"), [("auto", "boxes"), ("segmentation", "masks")])
def test_the_task_decides_if_annotations_have_boxes_and_outlines(
    tmp_path: Path, task: str, kind: str
) -> None:
    files = {**IMAGE, "a.json": coco({**BOX, **SQUARE})}
    assert opened(tmp_path, zipped(files), "zip", task=task).labels_kind == kind


def test_a_category_of_the_background_is_class_0(tmp_path: Path) -> None:
    named = [{"id": 0, "name": "Background"}, {"id": 40, "name": "cat"}]
    files = {**IMAGE, "a.json": coco({**SQUARE, "category_id": 40}, categories=named)}
    found = opened(tmp_path, zipped(files), "zip")
    assert found.class_names == ("Background", "cat")
    assert labels(found).unique().tolist() == [0, 1]


def test_run_lengths_decode_as_those_of_pycocotools() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        height, width = map(int, rng.integers(1, 40, 2))
        wanted = np.asfortranarray((rng.random((height, width)) < rng.random()).astype(np.uint8))
        counts = coco_mask.encode(wanted)["counts"].decode()
        runs = {"size": [height, width], "counts": counts}
        assert (draw([Outline(1, runs, "")], (height, width), 10**4) == wanted).all()


@pytest.mark.parametrize(("most", "is_refused"), [(6, False), (5, True)])
def test_the_run_lengths_of_an_image_have_a_limit(most: int, is_refused: bool) -> None:
    outlines = [Outline(1, RUNS, "it"), Outline(2, RUNS, "it")]
    expected = pytest.raises(DataTooLargeError, match="more than 5 run lengths")
    with expected if is_refused else nullcontext():
        assert draw(outlines, (8, 16), most).max() == 2


def areas(area: Any) -> bytes:
    return coco({**SQUARE, "segmentation": area})


REFUSED: dict[str, tuple[bytes, str]] = {
    "none": (areas([]), "has no outline in 'segmentation'"),
    "text": (areas("x"), "it is a list of polygons, or run lengths"),
    "flat": (areas([4, 2, 12, 2, 12, 6]), "has the polygon 4; a polygon has x and y"),
    "two corners": (areas([[4, 2, 12, 2]]), "at least three corners"),
    "odd": (areas([[4, 2, 12, 2, 12, 6, 4]]), "at least three corners"),
    "words": (areas([[4, 2, 12, "2", 12, 6]]), "at least three corners"),
    "far away": (areas([[0, 0, 1e9, 0, 1e9, 1e9]]), "leaves the image of 16x8 pixels"),
    "not finite": (areas([[0, 0, 1e999, 0, 1, 1]]), "leaves the image of 16x8 pixels"),
    "no float": (areas([[0, 0, 10**400, 0, 1, 1]]), "leaves the image of 16x8 pixels"),
    "huge runs": (
        areas({"size": [10**6, 10**6], "counts": [0, 10**12]}),
        "has run lengths of the size [1000000, 1000000]; its image has [8, 16]",
    ),
    "runs beyond the image": (
        areas({**RUNS, "counts": [0, 10**12]}),
        "must add up to the 128 pixels",
    ),
    "runs too few": (areas({**RUNS, "counts": [8]}), "must add up to the 128 pixels"),
    "negative runs": (areas({**RUNS, "counts": [-8, 136]}), "must add up to the 128 pixels"),
    "runs of words": (areas({**RUNS, "counts": ["8"]}), "must add up to the 128 pixels"),
    "no runs": (areas({"size": [8, 16]}), "must add up to the 128 pixels"),
    "compressed beyond": (areas({**RUNS, "counts": "`oooo2"}), "must add up to the 128 pixels"),
    "compressed endless": (areas({**RUNS, "counts": "o" * 99}), "damaged run lengths"),
    "compressed half": (areas({**RUNS, "counts": "o"}), "end too early"),
    "compressed words": (areas({**RUNS, "counts": "\u00e4"}), "damaged run lengths"),
    "no category": (coco({**SQUARE, "category_id": 1}), "ids of an image and a category"),
    "no image": (coco({**SQUARE, "image_id": 2}), "ids of an image and a category"),
    "many classes": (
        coco(SQUARE, categories=[{"id": number, "name": str(number)} for number in range(255)]),
        "256 classes with the background, at most 255",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_damaged_outline_is_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    content, words = REFUSED[name]
    with pytest.raises((DataError, DataTooLargeError)) as caught:
        opened(tmp_path, zipped({**IMAGE, "a.json": content}), "zip")
    assert words in str(caught.value)
