"""mAP of boxes, against pycocotools and faster-coco-eval on random images."""

import contextlib
import io
from typing import Any

import faster_coco_eval
import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from app.contracts.decoding.boxes import Boxes
from secateur.engine.errors import DataError
from secateur.engine.metrics.average_precision import Matches, means
from secateur.engine.metrics.boxes import BOXES
from secateur.engine.metrics.reading import Reading

Image = tuple[Boxes, np.ndarray]


def random_images(seed: int) -> list[Image]:
    """Return boxes and labels of a few images, with ties, crowds and images without either."""
    draw = np.random.default_rng(seed)
    images = []
    for _ in range(int(draw.integers(1, 5))):
        num_labels, num_classes = int(draw.integers(0, 6)), int(draw.integers(1, 4))
        corners = draw.uniform(0, 60, (num_labels, 2))
        sides = draw.uniform(5, 40, (num_labels, 2))
        labels = np.zeros((num_labels, 6), np.float32)
        labels[:, 0] = draw.integers(0, num_classes, num_labels)
        labels[:, 1:3], labels[:, 3:5] = corners, corners + sides
        labels[:, 5] = draw.random(num_labels) < 0.2
        near = labels[draw.integers(0, num_labels, 6)] if num_labels else np.zeros((0, 6))
        found = near[:, 1:5] + draw.normal(0, 4, (len(near), 4))
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        stray = draw.uniform(0, 50, (3, 2))
        found = np.concatenate([found, np.concatenate([stray, stray + 10], 1)])
        classes = np.concatenate([near[:, 0], draw.integers(0, num_classes, 3)]).astype(int)
        classes[draw.random(len(classes)) < 0.2] = 0
        scores = draw.random(len(found)).round(1)  # ties
        order = np.argsort(-scores, kind="stable")
        images.append((Boxes(found[order], scores[order], classes[order]), labels))
    return images


def ours(images: list[Image]) -> tuple[float, float]:
    matches = Matches()
    for boxes, labels in images:
        matches.add(*boxes, labels)
    return means(matches.precisions())


def theirs(images: list[Image], coco: Any, evaluate: Any) -> tuple[float, float]:
    """Return mAP50-95 and mAP50 of another library; -1, without labels, is 0 for us."""
    labels, found = [], []
    for number, (boxes, rows) in enumerate(images):
        for x0, y0, x1, y1, label in zip(*rows[:, 1:5].T, rows[:, [0, 5]], strict=True):
            side = [float(x0), float(y0), float(x1) - float(x0), float(y1) - float(y0)]
            labels.append(
                {
                    "id": len(labels) + 1,
                    "image_id": number,
                    "category_id": int(label[0]),
                    "bbox": side,
                    "area": side[2] * side[3],
                    "iscrowd": int(label[1]),
                }
            )
        for corners, score, kind in zip(*boxes, strict=True):
            x0, y0, x1, y1 = map(float, corners)
            found.append(
                {
                    "image_id": number,
                    "category_id": int(kind),
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "score": float(score),
                }
            )
    truth = coco()
    truth.dataset = {
        "info": {},
        "images": [{"id": n, "width": 200, "height": 200} for n in range(len(images))],
        "annotations": labels,
        "categories": [{"id": n, "name": str(n)} for n in range(4)],
    }
    truth.createIndex()
    result = evaluate(truth, truth.loadRes(found), "bbox")
    result.evaluate()
    result.accumulate()
    result.summarize()
    return max(0.0, float(result.stats[0])), max(0.0, float(result.stats[1]))


@pytest.mark.filterwarnings("ignore")
def test_the_mean_average_precision_is_that_of_two_libraries() -> None:
    differences = []
    for seed in range(200):
        images = random_images(seed)
        with contextlib.redirect_stdout(io.StringIO()):
            reference = theirs(images, COCO, COCOeval)
            fast = theirs(images, faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster)
        found = ours(images)
        differences += [
            abs(a - b) for other in (reference, fast) for a, b in zip(found, other, strict=True)
        ]
    assert max(differences) < 1e-6


def test_weights_count_images_as_often() -> None:
    images = random_images(3)
    matches, twice = Matches(), Matches()
    for number, (boxes, labels) in enumerate(images):
        matches.add(*boxes, labels)
        for _ in range(2 if number == 0 else 1):
            twice.add(*boxes, labels)
    weights = np.ones(len(images))
    weights[0] = 2
    assert means(matches.precisions(weights)) == pytest.approx(means(twice.precisions()))


def test_boxes_on_a_difficult_object_do_not_count() -> None:
    """Not once and not twice, as in VOC's own script; a box that only lies inside it is wrong."""
    label = np.array([[0, 0, 0, 10, 10, 0], [0, 20, 0, 30, 10, 2]], np.float32)
    on_it, inside = [20, 0, 30, 10], [22, 2, 25, 5]

    def at_half(first: list[list[int]]) -> float:
        corners = np.array([*first, [0, 0, 10, 10]], np.float64)
        scores = np.linspace(1, 0.5, len(corners))
        return ours([(Boxes(corners, scores, np.zeros(len(corners), int)), label)])[1]

    assert at_half([on_it, on_it]) == pytest.approx(1)
    assert at_half([inside]) == pytest.approx(0.5)


def test_intervals_hold_the_value_and_a_worse_network_differs_measurably() -> None:
    draw = np.random.default_rng(0)
    labels = np.zeros((40, 1, 6), np.float32)
    labels[:, 0, 1:3] = draw.uniform(0, 50, (40, 2))
    labels[:, 0, 3:5] = labels[:, 0, 1:3] + 10
    good = [Boxes(each[:, 1:5], np.ones(1), np.zeros(1, int)) for each in labels]
    bad = [each.chosen(np.arange(n % 2)) for n, each in enumerate(good)]  # half of them

    def find(outputs: list[np.ndarray]) -> list[Boxes]:
        return good if outputs[0].flat[0] else bad

    tally = BOXES.tally("none", Reading(find)) if BOXES.tally else None
    assert tally is not None
    tally.add([torch.zeros(40, 1)], torch.from_numpy(labels), [torch.ones(40, 1)])
    values, doubt = tally.values(40), tally.doubt(40)
    assert doubt.interval is not None
    assert doubt.interval[0] < values["map50_95"] < doubt.interval[1]
    assert doubt.change is not None
    assert doubt.change.high < 0
    (only,) = tally.by_class(40)
    assert only.number == 0
    assert only.values == pytest.approx(values)


def test_boxes_without_a_known_form_are_refused() -> None:
    assert BOXES.tally is not None
    with pytest.raises(DataError, match="set 'head'"):
        BOXES.tally("none", Reading())
