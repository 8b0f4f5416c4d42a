"""Archives of boxes, masks and texts: what is read, and what is refused with which words."""

import io
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from app.contracts.settings import LimitSettings
from app.contracts.spec import PreprocessSpec, SplitSpec
from secateur.engine.errors import DataError, DataTooLargeError
from tests.unit.pipeline.data.files import opened, tarred, zipped
from worker.pipeline.data import Dataset, Split, open_dataset


def png(values: Any, mode: str = "L") -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.asarray(values, np.uint8), mode).save(out, "PNG")
    return out.getvalue()


GREY = png(np.zeros((8, 16)))
BOX = {"image_id": 1, "category_id": 7, "bbox": [4, 2, 8, 4]}


def coco(*boxes: dict[str, Any], **more: Any) -> bytes:
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": list(boxes),
        "categories": [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}],
    }
    return json.dumps(content | more).encode()


def labels(dataset: Dataset) -> torch.Tensor:
    found = dataset.first()[1]
    assert found is not None
    return found


def test_coco_boxes_are_corners_in_the_input(tmp_path: Path) -> None:
    crowd = {**BOX, "category_id": 9, "iscrowd": 1}
    files = {"images/a.png": GREY, "images/b.png": GREY, "ann.json": coco(BOX, crowd)}
    found = opened(tmp_path, zipped(files), "zip", resize=(16, 16))
    assert (found.labels_kind, found.class_names) == ("boxes", ("cat", "dog"))
    assert found.preprocess.fit == "letterbox"
    assert labels(found).tolist() == [[[0, 4, 6, 12, 10, 0], [1, 4, 6, 12, 10, 1]]]
    assert found.summary()["class_counts"] == [1, 1]
    assert found.summary()["left_out"][0]["names"] == ["images/b.png"]


def posed(points: Any, **more: Any) -> bytes:
    category = {"id": 7, "name": "cat", "keypoints": ["nose", "tail"]}
    categories = more.pop("categories", [category])
    return coco({**BOX, "keypoints": points, **more}, categories=categories)


def test_coco_keypoints_are_placed_in_the_input(tmp_path: Path) -> None:
    crowd = {**BOX, "iscrowd": 1}  # without keypoints
    own = {**BOX, "area": 10, "keypoints": [4, 2, 2, 0, 0, 0]}
    content = json.loads(posed([8, 4, 1, 16, 8, 2])) | {"annotations": []}
    content["annotations"] = [
        own,
        crowd,
        {"image_id": 1, "category_id": 7, "keypoints": [2, 2, 1] * 2},
    ]
    files = {"images/a.png": GREY, "images/b.png": GREY, "ann.json": json.dumps(content).encode()}
    found = opened(tmp_path, zipped(files), "zip", resize=(16, 32))
    assert (found.labels_kind, found.class_names) == ("keypoints", ("nose", "tail"))
    assert found.preprocess.fit == "letterbox"
    assert labels(found).tolist() == [
        [
            [0, 8, 4, 24, 12, 40, 8, 4, 2, 0, 0, 0],
            [1, 8, 4, 24, 12, 128, 0, 0, 0, 0, 0, 0],
            [0, 4, 4, 4, 4, 0, 4, 4, 1, 4, 4, 1],
        ]
    ]
    assert found.summary()["class_counts"] == [2, 1]


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_yolo_boxes_are_shares_of_the_image(tmp_path: Path, pack: Any) -> None:
    files = {
        "set/data.yaml": b"train: ../train/images\nnames:\n  0: cat\n  1: dog\n",
        "set/train/images/a.png": GREY,
        "set/train/labels/a.txt": b"1 0.5 0.5 0.5 0.5\n0 0 0 0.5 0 0.5 1\n",
        "set/valid/images/b.png": GREY,
    }
    found = opened(tmp_path, pack(files), "zip" if pack is zipped else "tar", fit="stretch")
    assert labels(found).tolist() == [[[1, 4, 2, 12, 6, 0], [0, 0, 0, 8, 8, 0]]]
    assert found.split_sizes == {Split.TRAIN: 1, Split.VALIDATION: 1, Split.TEST: 0}
    _, empty = found.batch(torch.tensor([1]))
    assert empty is not None
    assert (empty[..., 0] == -1).all()
    assert any("1 of 2 images have no label file" in note for note in found.notes)


def voc(*boxes: str, name: str = "a.png") -> bytes:
    return f"<annotation><filename>{name}</filename>{''.join(boxes)}</annotation>".encode()


def thing(name: str, corners: str, more: str = "") -> str:
    sides = "".join(
        f"<{side}>{value}</{side}>"
        for side, value in zip(("xmin", "ymin", "xmax", "ymax"), corners.split(), strict=True)
    )
    return f"<object><name>{name}</name>{more}<bndbox>{sides}</bndbox></object>"


def test_voc_boxes_count_pixels_from_one_and_may_be_difficult(tmp_path: Path) -> None:
    hard = thing("cat", "1 1 16 8", "<difficult>1</difficult>")
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    files = {
        "VOC2012/JPEGImages/a.png": GREY,
        "VOC2012/Annotations/a.xml": voc(thing("dog", "5 3 12 6", part), hard, name="renamed"),
    }
    found = opened(tmp_path, zipped(files), "zip", fit="stretch")
    assert (found.labels_kind, found.class_names) == ("boxes", ("cat", "dog"))
    assert labels(found).tolist() == [[[1, 4, 2, 12, 6, 0], [0, 0, 0, 16, 8, 2]]]
    assert any("numbered in alphabetical order" in note for note in found.notes)


@pytest.mark.parametrize("corners", ["0 0 4 4", "0.5 1 4 4"])
def test_boxes_of_tools_that_count_from_zero_are_edges(tmp_path: Path, corners: str) -> None:
    files = {
        "a.png": GREY,
        "a.xml": voc(thing("b", "5 3 12 6"), thing("a", corners)),
        "classes.txt": b"b\na\n",
    }
    found = opened(tmp_path, zipped(files), "zip", fit="stretch")
    assert labels(found)[0, 0].tolist() == [0, 5, 3, 12, 6, 0]


def test_lists_of_voc_choose_images_and_give_the_split(tmp_path: Path) -> None:
    files: dict[str, bytes] = {
        "VOC/ImageSets/Main/train.txt": b"a\n",
        "VOC/ImageSets/Main/val.txt": b"b\n\n",
        "VOC/ImageSets/Main/trainval.txt": b"a\nb\n",
        "VOC/ImageSets/Main/cat_train.txt": b"c  1\n",
        "VOC/ImageSets/Segmentation/train.txt": b"c\n",
    }
    for name in "abc":
        files[f"VOC/JPEGImages/{name}.png"] = GREY
        files[f"VOC/Annotations/{name}.xml"] = voc(thing("cat", "1 1 2 2"))
    found = opened(tmp_path, zipped(files), "zip")
    assert found.split_sizes == {Split.TRAIN: 1, Split.VALIDATION: 1, Split.TEST: 0}
    assert found.summary()["left_out"][0]["names"] == ["VOC/JPEGImages/c.png"]


def test_masks_of_voc_are_chosen_by_their_lists(tmp_path: Path) -> None:
    mask = png(np.eye(8, 16) * 3)
    files: dict[str, bytes] = {
        "VOC/ImageSets/Segmentation/trainval.txt": b"a\nb\n",
        "VOC/ImageSets/Segmentation/test.txt": b"c.png\n",
        "VOC/ImageSets/Main/train.txt": b"x\n",
    }
    files |= {f"VOC/JPEGImages/{name}.png": GREY for name in "abcdefgh"}
    files |= {f"VOC/SegmentationClass/{name}.png": mask for name in "abch"}
    files["VOC/SegmentationObject/a.png"] = mask
    found = opened(tmp_path, zipped(files), "zip")
    assert (found.labels_kind, found.num_classes) == ("masks", 4)
    assert found.split_sizes == {Split.TRAIN: 2, Split.VALIDATION: 0, Split.TEST: 1}


@pytest.mark.parametrize("num_values", [2, 3])
def test_yolo_keypoints_follow_their_box(tmp_path: Path, num_values: int) -> None:
    """With four keypoints of two values, a line has as many numbers as a polygon's."""
    places = ["0.25 0.5", "0.75 0.5", "0 0", "1 1"]
    seen = ["", "", "", ""] if num_values == 2 else [" 2", " 1", " 0", " 2"]
    line = " ".join(("0 0.5 0.5 0.5 0.5", *map("".join, zip(places, seen, strict=True))))
    files = {
        "data.yaml": f"names: [cat]\nkpt_shape: [4, {num_values}]\n".encode(),
        "images/a.png": GREY,
        "images/b.png": GREY,
        "labels/a.txt": line.encode(),
    }
    found = opened(tmp_path, zipped(files), "zip", fit="stretch")
    assert (found.labels_kind, found.class_names) == ("keypoints", ("0", "1", "2", "3"))
    wanted = [0, 4, 2, 12, 6, 32, 4, 4, 2, 12, 4, 2, 0, 0, 0, 16, 8, 2]
    assert labels(found).tolist() == [[wanted]]


def test_masks_hold_classes_and_their_margin_does_not_count(tmp_path: Path) -> None:
    mask = np.zeros((8, 16))
    mask[:, 8:] = 2
    files = {
        "images/a.png": GREY,
        "images/b.png": GREY,
        "masks/a.png": png(mask),
        "masks/b_mask.png": png(mask),
        "classes.txt": b"sky\nsea\nland\n",
    }
    found = opened(tmp_path, zipped(files), "zip", resize=(16, 16), fit="letterbox")
    assert (found.labels_kind, found.class_names) == ("masks", ("sky", "sea", "land"))
    wanted = np.full((16, 16), 255)
    wanted[4:12] = mask
    assert (labels(found)[0].numpy() == wanted).all()


def test_a_mask_of_black_and_white_has_two_classes(tmp_path: Path) -> None:
    mask = np.zeros((8, 16))
    mask[0] = 255
    files = {"train/images/a.png": GREY, "train/masks/a.png": png(mask)}
    found = opened(tmp_path, zipped(files), "zip")
    assert labels(found).sum() == 16
    assert found.class_names == ("background", "object")


def test_texts_are_numbered_by_the_list_of_characters(tmp_path: Path) -> None:
    files = {
        "train/a.png": GREY,
        "train/b.png": GREY,
        "val/c.png": GREY,
        "train.txt": b"train/a.png\tba\ntrain/b.png\ta b\n",
        "val.txt": b"val/c.png\tb\n",
        "characters.txt": b"b\na\n",
    }
    found = opened(tmp_path, zipped(files), "zip")
    assert (found.labels_kind, found.class_names) == ("texts", ("b", "a"))
    _, rows = found.batch(torch.arange(3))
    assert rows is not None
    assert rows.tolist() == [[0, 1, -1], [1, 2, 0], [0, -1, -1]]
    assert found.split_sizes[Split.VALIDATION] == 1


def test_a_text_may_hold_a_separator_of_lines_other_than_the_files(tmp_path: Path) -> None:
    files = {**IMAGE, "l.txt": "images/a.png\tx\u2028y\r\n".encode()}
    found = opened(tmp_path, zipped(files), "zip")
    assert found.class_names == ("x", "y", "\u2028")


def test_characters_without_a_list_are_sorted_and_the_user_is_told(tmp_path: Path) -> None:
    files = {"a.png": GREY, "rec.tsv": b"a.png\tzab\n"}
    found = opened(tmp_path, zipped(files), "zip")
    assert found.class_names == ("a", "b", "z")
    assert any("no characters.txt" in note for note in found.notes)


def test_class_folders_beside_other_files_are_still_classes(tmp_path: Path) -> None:
    files = {
        "cat/a.png": GREY,
        "dog/b.png": GREY,
        "info.json": b'{"images": 2}',
        "notes.txt": b"one\ttwo\n",
        "env.yaml": b"name: x\n",
    }
    assert opened(tmp_path, zipped(files), "zip").labels_kind == "classes"


def test_areas_of_text_are_upright_boxes_and_unreadable_ones_do_not_count(tmp_path: Path) -> None:
    """Without their own layout, the JSON was read as the text of a line."""
    read = {"transcription": "a\tb", "points": [[4, 3], [10, 1], [12, 5], [6, 7]], "difficult": 0}
    unread = {"transcription": "###", "points": [[0, 0], [2, 0], [2, 2]]}
    lines = [f"set/a.png\t{json.dumps([read, unread])}", "set/b.png\t[]", ""]
    files = {"set/a.png": GREY, "set/b.png": GREY, "set/Label.txt": "\n".join(lines).encode()}
    found = opened(tmp_path, zipped(files), "zip", fit="stretch")
    assert (found.labels_kind, found.class_names) == ("boxes", ("text",))
    assert labels(found).tolist() == [[[0, 4, 1, 12, 7, 0], [0, 0, 0, 2, 2, 2]]]
    assert found.batch(torch.tensor([1]))[1][..., 0].max() == -1  # type: ignore[index]


@pytest.mark.parametrize(("name", "separator"), [("pairs.csv", ","), ("p.tsv", "\t")])
def test_pairs_of_the_same_are_identities(tmp_path: Path, name: str, separator: str) -> None:
    rows = [
        ("image1", "image2", "same"),
        ("a.png", "c.png", "1"),
        ("c.png", "sub/d.png", "same"),
        ("a.png", "b.png", "0"),
    ]
    files = dict.fromkeys(("a.png", "b.png", "c.png", "sub/d.png", "e.png"), GREY)
    files[name] = "\r\n".join(separator.join(row) for row in rows).encode()
    found = opened(tmp_path, zipped(files), "zip")
    assert (found.labels_kind, found.num_classes) == ("identities", 2)
    _, rows_found = found.batch(torch.arange(4))
    assert rows_found is not None
    assert rows_found.tolist() == [0, 1, 0, 0]
    assert found.summary()["left_out"][0]["names"] == ["e.png"]


def test_a_drawn_split_keeps_the_images_of_an_identity_together(tmp_path: Path) -> None:
    """Drawn by image, nearly no image had another of its identity in its split: recall was 0."""
    files = {f"{number}.png": GREY for number in range(40)}
    rows = [f"{number}.png,{number + 1}.png,1" for number in range(0, 40, 2)]
    found = opened(tmp_path, zipped({**files, "p.csv": "\n".join(rows).encode()}), "zip")
    assert found.split_sizes == {Split.TRAIN: 32, Split.VALIDATION: 4, Split.TEST: 4}
    for split in Split:
        _, numbers = found.batch(found.indices(split))
        assert numbers is not None
        assert (numbers.bincount()[numbers.unique()] == 2).all()


def test_validation_is_drawn_by_identity(tmp_path: Path) -> None:
    files = {f"{number}.png": GREY for number in range(42)}
    rows = [f"{number}.png,{number + 1}.png,1" for number in range(0, 40, 2)]
    files |= {"train.csv": "\n".join(rows).encode(), "test.csv": b"40.png,41.png,1"}
    found = opened(tmp_path, zipped(files), "zip").with_validation(SplitSpec(validation=0.1))
    _, numbers = found.batch(found.indices(Split.VALIDATION))
    assert numbers is not None
    assert numbers.bincount()[numbers.unique()].tolist() == [2, 2]


def test_a_polygon_of_four_corners_is_no_rotated_box(tmp_path: Path) -> None:
    lines = b"0 0 0 1 0 1 1 0 1\n0 0 0.5 0.5 0 1 0.6 0.5 1"
    files = {**YAML, **IMAGE, "labels/a.txt": lines}
    found = opened(tmp_path, zipped(files), "zip", fit="stretch")
    assert labels(found)[0, :, 1:5].tolist() == [[0, 0, 16, 8], [0, 0, 16, 8]]


YAML, IMAGE = {"data.yaml": b"names: [cat]"}, {"images/a.png": GREY}
PAIRED = dict.fromkeys(("a.png", "b.png", "c.png"), GREY)
MASKS = {**IMAGE, "masks/a.png": png(np.zeros((8, 16)))}
REFUSED: dict[str, tuple[dict[str, bytes], str]] = {
    "json": ({**IMAGE, "a.json": coco(BOX)[:-3]}, "'a.json' is not JSON"),
    "no list": ({**IMAGE, "a.json": coco(BOX, images={})}, "needs lists of objects"),
    "no image": ({"images/b.png": GREY, "a.json": coco(BOX)}, "the archive has none of them"),
    "no category": (
        {**IMAGE, "a.json": coco({**BOX, "category_id": 1})},
        "ids of an image and a category that exist",
    ),
    "not numbers": (
        {**IMAGE, "a.json": coco({**BOX, "bbox": [0, 0, "1", 1]})},
        "'bbox' of four numbers",
    ),
    "not finite": (
        {**IMAGE, "a.json": coco({**BOX, "bbox": [0, 0, 1e999, 1]})},
        "'bbox' of four numbers",
    ),
    "too large for a float": (
        {**IMAGE, "a.json": coco({**BOX, "bbox": [0, 0, 10**400, 1]})},
        "'bbox' of four numbers",
    ),
    "a list as a category": (
        {**IMAGE, "a.json": coco({**BOX, "category_id": []})},
        "ids of an image and a category that exist",
    ),
    "keypoints too few": ({**IMAGE, "a.json": posed([1, 2, 2])}, "'keypoints' of 6 numbers"),
    "keypoints not finite": (
        {**IMAGE, "a.json": posed([0, 0, 1, 1e999, 0, 1])},
        "'keypoints' of 6 numbers",
    ),
    "keypoints without an image": (
        {**IMAGE, "a.json": posed([0] * 6, image_id=2)},
        "the id of an image that exists",
    ),
    "keypoints of two categories": (
        {
            **IMAGE,
            "a.json": coco(
                {**BOX, "keypoints": [1, 1, 1]},
                {**BOX, "category_id": 9, "keypoints": [1, 1, 1]},
                categories=[{"id": n, "name": "x", "keypoints": ["a"]} for n in (7, 9)],
            ),
        },
        "both have keypoints: keep those of one category",
    ),
    "two files": (
        {**IMAGE, "a.json": coco(BOX), "b.json": coco(BOX)},
        "is in two annotation files",
    ),
    "yolo class": (
        {**YAML, **IMAGE, "labels/a.txt": b"1 .5 .5 .1 .1"},
        "line 1 of 'labels/a.txt' has class 1; data.yaml names 1 classes",
    ),
    "yolo fraction of a class": (
        {**YAML, **IMAGE, "labels/a.txt": b"0.5 .5 .5 .1 .1"},
        "has class 0.5; data.yaml names 1 classes",
    ),
    "yolo pixels": (
        {**YAML, **IMAGE, "labels/a.txt": b"0 50 50 10 10"},
        "Sides are shares from 0 to 1, not pixels",
    ),
    "yolo words": ({**YAML, **IMAGE, "labels/a.txt": b"cat 1 1 1 1"}, "is not numbers"),
    "yolo numbers": ({**YAML, **IMAGE, "labels/a.txt": b"0 .5 .5"}, "has 3 numbers"),
    "yolo keypoints missing": (
        {**IMAGE, "data.yaml": b"names: [c]\nkpt_shape: [2, 3]", "labels/a.txt": b"0 .5 .5 .1 .1"},
        "has 5 numbers; a box has five: class, x, y, width, height, and 6 of its keypoints follow",
    ),
    "yolo keypoints of two classes": (
        {**IMAGE, "data.yaml": b"names: [a, b]\nkpt_shape: [2, 3]", "labels/a.txt": b"0"},
        "keep the keypoints of one",
    ),
    "yolo number of keypoints": (
        {**IMAGE, "data.yaml": b"names: [a]\nkpt_shape: [-2, 3]", "labels/a.txt": b"0"},
        "'kpt_shape' in 'data.yaml' is [-2, 3]",
    ),
    "yolo without labels": ({**YAML, **IMAGE}, "no image has a label file"),
    "yaml bomb": (
        {**IMAGE, "labels/a.txt": b"0 .5 .5 .1 .1", "data.yaml": b"names: [&a [x], *a, *a]"},
        "aliases are not accepted",
    ),
    "xml": ({**IMAGE, "a.xml": b"<annotation><object>"}, "'a.xml' is not XML"),
    "xml bomb": (
        {**IMAGE, "a.xml": b'<!DOCTYPE x [<!ENTITY y "z">]><annotation>&y;</annotation>'},
        "has a DOCTYPE, which is not accepted",
    ),
    "large xml": ({**IMAGE, "a.xml": b"<annotation>" + b" " * 2**20}, "at most 1048576"),
    "xml without a class": ({**IMAGE, "a.xml": voc(thing("", "1 1 2 2"))}, "needs a 'name'"),
    "xml of words": ({**IMAGE, "a.xml": voc(thing("cat", "1 1 x 2"))}, "has 'cat' and '1, 1, x"),
    "xml not finite": ({**IMAGE, "a.xml": voc(thing("cat", "1 1 inf 2"))}, "with the numbers xmin"),
    "xml beyond float32": (
        {**IMAGE, "a.xml": voc(thing("cat", "1 1 1e300 2"))},
        "with the numbers xmin",
    ),
    "keypoints of yolo beyond float32": (
        {
            **IMAGE,
            "data.yaml": b"names: [cat]\nkpt_shape: [1, 2]",
            "labels/a.txt": b"0 0.5 0.5 0.5 0.5 1e300 1",
        },
        "has a number beyond 1e+09",
    ),
    "a class with NUL": (
        {**IMAGE, "a.json": coco(BOX, categories=[{"id": 7, "name": "c\0"}])},
        "the class 'c\\x00' has a character that cannot be stored",
    ),
    "a class with half a pair": (
        {**IMAGE, "a.json": coco(BOX, categories=[{"id": 7, "name": "\ud800"}])},
        "the class '\\ud800' has a character that cannot be stored",
    ),
    "xml without a box": (
        {**IMAGE, "a.xml": voc("<object><name>cat</name></object>")},
        "needs a 'name' and a 'bndbox'",
    ),
    "xml of an unknown class": (
        {**IMAGE, "a.xml": voc(thing("cat", "1 1 2 2")), "classes.txt": b"dog"},
        "the class 'cat', which classes.txt does not name",
    ),
    "xml without its image": (
        {**IMAGE, "b.xml": voc(name="b.png")},
        "has no image of that name",
    ),
    "two xml files": (
        {**IMAGE, "a.xml": voc(), "annotations/a.xml": voc()},
        "both describe the image 'images/a.png'",
    ),
    "lists of other images": (
        {**IMAGE, "images/a.xml": voc(), "ImageSets/Main/train.txt": b"b"},
        "name no image that has an XML file",
    ),
    "two lists": (
        {
            **IMAGE,
            "images/a.xml": voc(),
            "ImageSets/Main/train.txt": b"a",
            "ImageSets/Main/val.txt": b"a",
        },
        "is in 'ImageSets/Main/val.txt' and in another list",
    ),
    "masks outside their lists": (
        {**MASKS, "ImageSets/Segmentation/train.txt": b"b"},
        "name no image that has a mask",
    ),
    "mask size": ({**IMAGE, "masks/a.png": png(np.zeros((8, 8)))}, "both need the same size"),
    "mask colour": (
        {**IMAGE, "masks/a.png": png(np.full((8, 16, 3), [9, 0, 0]), "RGB")},
        "is a colour image",
    ),
    "half a split": (
        {**MASKS, "val/images/b.png": GREY, "val/masks/b.png": MASKS["masks/a.png"]},
        "some images are in a split and some are not",
    ),
    "text without tab": ({**IMAGE, "l.txt": b"images/a.png\tx\nimages/a.png"}, "has no tab"),
    "text without image": ({**IMAGE, "l.txt": b"images/a.png\tx\nb.png\tx"}, "names the image"),
    "unknown character": (
        {**IMAGE, "l.txt": b"images/a.png\txy", "characters.txt": b"x"},
        "has 'y', which the list of characters lacks",
    ),
    "character twice": (
        {**IMAGE, "l.txt": b"images/a.png\tx", "characters.txt": b"y\nx\nx"},
        "has the character 'x' 2 times",
    ),
    "long character": (
        {**IMAGE, "l.txt": b"images/a.png\tx", "characters.txt": b"xy"},
        "every line has one character",
    ),
    "rotated boxes of yolo": (
        {**YAML, **IMAGE, "labels/a.txt": b"0 0 0.5 0.5 0 1 0.5 0.5 1\n0 0 0 1 0 1 1 0 1"},
        "'labels/a.txt' are a class and four corners; rotated boxes are not supported",
    ),
    "rotated boxes of coco": (
        {**IMAGE, "a.json": coco({**BOX, "bbox": [8, 4, 4, 2, 30]})},
        "'bbox' of 5 numbers; rotated boxes are not supported: write upright boxes",
    ),
    "rotated boxes of voc": (
        {**IMAGE, "a.xml": voc("<object><name>cat</name><robndbox/></object>")},
        "has a 'robndbox'; rotated boxes are not supported",
    ),
    "area of text without points": (
        {**IMAGE, "l.txt": b'images/a.png\t[{"points": [[1, 1], [2, 1]]}]'},
        "line 1 of 'l.txt' needs 'points' of at least three corners",
    ),
    "area of text that is not finite": (
        {**IMAGE, "l.txt": b'images/a.png\t[{"points": [[1, 1], [2, 1], [1e999, 2]]}]'},
        "needs 'points' of at least three corners",
    ),
    "area of text beyond JSON": (
        {**IMAGE, "l.txt": b'images/a.png\t[{"points": [[1, 1], [2, 1], [3, 2]]}'},
        "is not JSON after the tab",
    ),
    "areas of text without an image": (
        {**IMAGE, "l.txt": b'images/b.png\t[{"points": [[1, 1], [2, 1], [3, 2]]}]'},
        "names the image 'images/b.png', which the archive does not have",
    ),
    "areas of text twice": (
        {**IMAGE, "l.txt": b'images/a.png\t[{"points": [[1, 1], [2, 1], [3, 2]]}]\na.png\t[]'},
        "for the second time",
    ),
    "pair of two values": (
        {**PAIRED, "p.csv": b"a.png,b.png,1\na.png,b.png"},
        "line 2 of 'p.csv' has 2 values",
    ),
    "pair without an image": (
        {**PAIRED, "p.csv": b"a.png,b.png,1\na.png,x.png,1"},
        "names the image 'x.png', which the archive does not have",
    ),
    "pair that says neither": (
        {**PAIRED, "p.csv": b"a.png,b.png,1\na.png,b.png,0.7"},
        "line 2 of 'p.csv' says '0.7'",
    ),
    "pairs that contradict": (
        {**PAIRED, "p.csv": b"a.png,b.png,1\nb.png,c.png,1\na.png,c.png,0"},
        "line 3 of 'p.csv' says that 'a.png' and 'c.png' differ; other pairs say",
    ),
    "pairs without the same": (
        {**PAIRED, "p.csv": b"a.png,b.png,0"},
        "no line of 'p.csv' names two images that show the same",
    ),
    "pairs in two splits": (
        {**PAIRED, "train.csv": b"a.png,b.png,1", "val.csv": b"c.png,b.png,0"},
        "puts the image 'b.png' into a second split",
    ),
    "pairs beyond CSV": (
        {**PAIRED, "p.csv": b'a.png,b.png,1\na.png,"' + b"b" * 140_000},
        "damaged",
    ),
    "not UTF-8": ({**IMAGE, "l.txt": b"images/a.png\t\xff"}, "is not UTF-8"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_damaged_layout_is_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    files, words = REFUSED[name]
    with pytest.raises((DataError, DataTooLargeError)) as caught:
        opened(tmp_path, zipped(files), "zip")
    assert words in str(caught.value)


@pytest.mark.parametrize(("most", "is_refused"), [(400, False), (20, True)])
def test_an_annotation_file_has_a_limit(tmp_path: Path, most: int, is_refused: bool) -> None:
    path = tmp_path / "data"
    path.write_bytes(zipped({**IMAGE, "a.json": coco(BOX)}))
    limits = LimitSettings(annotation_bytes=most)
    with pytest.raises(DataTooLargeError, match="at most 20") if is_refused else nullcontext():
        open_dataset(path, "zip", PreprocessSpec(), tmp_path, limits=limits)
