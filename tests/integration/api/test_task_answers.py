"""``/infer`` answers images with boxes, masks, keypoints and texts, in the images' own pixels."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from secateur.engine import read_program
from tests.fixtures import cells
from tests.fixtures.api import Api, running_api
from tests.fixtures.jobs import save_model
from worker.pipeline.job.dense_onnx import export_proved

GRID = np.array([[1, 0, 0, 0], [0, 0, 2, 0], [0, 0, 0, 0], [0, 1, 0, 0]])
LINE = np.array([[2, 0, 1, 0, 1, 0, 2, 0]])
SIZES = {
    "boxes": (32, 32),
    "masks": (32, 32),
    "keypoints": (32, 32),
    "texts": (8, 64),
    "text": (32, 32),
}
TASKS = {
    "boxes": {"name": "detection", "head": "yolov8_raw"},
    "masks": {"name": "segmentation"},
    "keypoints": {
        "name": "keypoints",
        "head": "heatmaps",
        "score": 0.5,
    },  # the grey margin has 0.28
    "texts": {"name": "text_recognition"},
    "text": {"name": "detection", "head": "dbnet"},
}
NAMES = {
    "boxes": list(cells.NAMES),
    "keypoints": list(cells.NAMES),
    "masks": ["black", *cells.NAMES],
    "texts": ["r", "g"],
    "text": ["text"],
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, found = tmp_path_factory.mktemp("onnx"), {}
    for kind, size in SIZES.items():
        example = torch.rand(2, 3, *size)
        program = read_program(save_model(cells.Reader(kind), (example,), folder / f"{kind}.pt2"))
        found[kind] = folder / f"{kind}.onnx"
        export_proved(program, found[kind], [(example,)])
    return found


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_api(tmp_path_factory.mktemp("api") / "data") as found:
        yield found


def ask(api: Api, files: dict[str, Path], kind: str, image: bytes, **more: Any) -> dict[str, Any]:
    values = {"preprocess": {"fit": "stretch"}, "class_names": NAMES[kind], **more}
    report = {"task": TASKS[kind], "outputs": []}
    model = api.ready_model(files[kind], **{"report": report, **values})
    response = api.client.post(
        f"/infer?model={model}", content=image, headers={"Content-Type": "image/png"}
    )
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def test_a_detector_answers_boxes(api: Api, files: dict[str, Path]) -> None:
    found = ask(api, files, "boxes", cells.png(GRID))
    boxes = sorted((each["label"], *each["box"]) for each in found["boxes"][0])
    assert boxes == [("green", 16, 8, 24, 16), ("red", 0, 0, 8, 8), ("red", 8, 24, 16, 32)]
    assert all(each["score"] > 0.9 for each in found["boxes"][0])
    assert found["images"] == [{"width": 32, "height": 32}]
    assert "outputs" not in found


def test_a_text_detector_answers_boxes(api: Api, files: dict[str, Path]) -> None:
    found = ask(api, files, "text", cells.png(GRID))["boxes"][0]
    grown = 1.5 * 8 * 8 / (2 * (8 + 8))
    boxes = sorted(each["box"] for each in found)
    assert boxes == [[0, 0, 8 + grown, 8 + grown], [8 - grown, 24 - grown, 16 + grown, 32]]
    assert {each["label"] for each in found} == {"text"}


@pytest.mark.parametrize("fit", ["stretch", "letterbox", "pad"])
def test_boxes_lie_where_they_are_in_an_image_of_another_size(
    api: Api, files: dict[str, Path], fit: str
) -> None:
    """A wide image of 128x64 pixels, whose upper left cell is red."""
    pixels = np.zeros((64, 128, 3), np.uint8)
    size = (16, 32) if fit == "stretch" else (32, 32)  # one cell of the input, in the image
    pixels[: size[0], : size[1], 0] = 255
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    found = ask(api, files, "boxes", out.getvalue(), preprocess={"fit": fit})
    (box,) = (each["box"] for each in found["boxes"][0] if each["label"] == "red")
    assert box == pytest.approx([0, 0, size[1], size[0]], abs=1)


def test_a_segmenter_answers_a_mask(api: Api, files: dict[str, Path]) -> None:
    found = ask(api, files, "masks", cells.png(GRID))
    (mask,) = found["masks"]
    image = Image.open(io.BytesIO(base64.b64decode(mask["png"])))
    assert image.mode == "P"
    assert (np.asarray(image) == GRID.repeat(8, 0).repeat(8, 1)).all()
    shares = {each["label"]: each["share"] for each in mask["classes"]}
    assert shares == {"black": 13 / 16, "red": 2 / 16, "green": 1 / 16}


def test_a_mask_covers_the_image_and_not_the_margin(api: Api, files: dict[str, Path]) -> None:
    image = Image.open(io.BytesIO(cells.png(GRID[:2])))  # 32x16
    out = io.BytesIO()
    image.save(out, "PNG")
    (mask,) = ask(api, files, "masks", out.getvalue(), preprocess={"fit": "letterbox"})["masks"]
    assert (mask["width"], mask["height"]) == (32, 16)
    found = np.asarray(Image.open(io.BytesIO(base64.b64decode(mask["png"]))))
    assert (found == GRID[:2].repeat(8, 0).repeat(8, 1)).all()


def test_keypoints_are_answered_in_pixels_of_the_image(api: Api, files: dict[str, Path]) -> None:
    """A wide image of 64x32 pixels, with a green cell and no red one."""
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[16:32, 16:32, 1] = 255
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    found = ask(api, files, "keypoints", out.getvalue(), preprocess={"fit": "letterbox"})
    ((pose,),) = found["keypoints"]
    (green,) = pose["points"]  # the network is not sure of the red one
    assert (green["label"], green["index"]) == ("green", 1)
    assert (green["x"], green["y"]) == pytest.approx((16, 16), abs=4.1)
    assert green["score"] > 0.9
    assert found["images"] == [{"width": 64, "height": 32}]


def test_a_recogniser_answers_text(api: Api, files: dict[str, Path]) -> None:
    (text,) = ask(api, files, "texts", cells.png(LINE))["texts"]
    assert text["text"] == cells.text(LINE) == "grrg"
    assert text["score"] > 0.9


@pytest.mark.parametrize(
    "task",
    [
        {"name": "detection", "head": "ssd"},
        {"name": "detection"},
        {"name": "keypoints", "head": "yolov8_pose"},
        {"name": "keypoints", "head": "ssd"},
        {"name": "segmentation", "head": "no such head"},
        {"name": "no such task"},
        {"name": "text_recognition"},
        7,
    ],
)
def test_a_task_that_its_outputs_do_not_fit_answers_outputs(
    api: Api, files: dict[str, Path], task: Any
) -> None:
    report = {"task": task, "outputs": []}
    found = ask(api, files, "boxes", cells.png(GRID), report=report)
    assert not {"boxes", "texts"} & found.keys()


def test_dense_and_pruned_answer_side_by_side(api: Api, files: dict[str, Path]) -> None:
    base = api.ready_model(files["boxes"], name="dense")
    found_by = {"report": {"task": TASKS["boxes"], "outputs": []}, "class_names": list(cells.NAMES)}
    model = api.ready_model(files["boxes"], name="pruned", parent_id=base, **found_by)
    response = api.client.post(
        f"/infer?model={model}&variant=both",
        content=cells.png(GRID),
        headers={"Content-Type": "image/png"},
    )
    found = response.json()
    assert found["base"]["boxes"] == found["boxes"]
    assert "outputs" not in found["base"]
    assert found["comparison"]["max_difference"] == 0
