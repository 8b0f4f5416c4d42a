"""Keypoints: average precision against pycocotools, and PCK against a plain loop."""

import contextlib
import io
from typing import NamedTuple

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from secateur.engine.errors import DataError
from secateur.engine.metrics.average_precision import Matches, means
from secateur.engine.metrics.keypoints import KEYPOINTS
from secateur.engine.metrics.oks import match_poses, sigmas
from secateur.engine.metrics.reading import Reading


class Found(NamedTuple):
    points: np.ndarray
    scores: np.ndarray


Image = tuple[Found, np.ndarray]


def random_images(seed: int) -> list[Image]:
    """Return a few images with crowds, ties, objects without keypoints, and images without any."""
    draw = np.random.default_rng(seed)
    num_points = 17 if seed % 2 else 5
    images = []
    for _ in range(int(draw.integers(1, 5))):
        num = int(draw.integers(0, 5))
        points = draw.uniform(0, 100, (num, num_points, 3))
        points[..., 2] = draw.integers(0, 3, (num, num_points))
        points[draw.random(num) < 0.2, :, 2] = 0
        low, side = points[..., :2].min(1), np.ptp(points[..., :2], axis=1)
        state = draw.random((num, 1)) < 0.2
        area = side.prod(1, keepdims=True) * 0.5
        rows = np.concatenate(
            [state, low, low + side, area, points.reshape(num, 3 * num_points)], 1
        )
        near = points[draw.integers(0, num, 24 if seed % 5 == 0 else 6)] if num else points
        found = near + draw.normal(0, 1, near.shape) * draw.choice([1, 8, 30], (len(near), 1, 1))
        found = np.concatenate([found, draw.uniform(0, 100, (2, num_points, 3))])
        images.append((Found(found, draw.random(len(found)).round(1)), rows))
    return images


def ours(images: list[Image]) -> tuple[float, float]:
    matches = Matches(match_poses)
    for found, rows in images:
        labels = np.concatenate([np.zeros((len(rows), 1)), rows], 1)
        only = np.zeros(len(found.scores), int)
        matches.add(found.points[..., :2], found.scores, only, labels)
    return means(matches.precisions())


def theirs(images: list[Image]) -> tuple[float, float]:
    labels, found = [], []
    for number, (each, rows) in enumerate(images):
        for state, x0, y0, x1, y1, area, *points in rows.tolist():
            labels.append(
                {
                    "id": len(labels) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": area,
                    "iscrowd": int(state),
                    "keypoints": points,
                    "num_keypoints": int((np.array(points[2::3]) > 0).sum()),
                }
            )
        for points, score in zip(*each, strict=True):
            place = {"image_id": number, "category_id": 1, "score": float(score)}
            found.append({**place, "keypoints": points.flatten().tolist()})
    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": n} for n in range(len(images))],
        "annotations": labels,
        "categories": [{"id": 1, "name": "person"}],
    }
    truth.createIndex()
    result = COCOeval(truth, truth.loadRes(found), "keypoints")
    result.params.kpt_oks_sigmas = sigmas(images[0][0].points.shape[1])
    result.evaluate()
    result.accumulate()
    result.summarize()
    return max(0.0, float(result.stats[0])), max(0.0, float(result.stats[1]))


def test_the_spreads_of_17_keypoints_are_those_of_pycocotools() -> None:
    assert sigmas(17) == pytest.approx(COCOeval(iouType="keypoints").params.kpt_oks_sigmas)


@pytest.mark.filterwarnings("ignore")
def test_the_average_precision_is_that_of_pycocotools() -> None:
    differences, values = [], []
    for seed in range(200):
        images = random_images(seed)
        with contextlib.redirect_stdout(io.StringIO()):
            wanted = theirs(images)
        found = ours(images)
        values.append(found[0])
        differences += [abs(a - b) for a, b in zip(found, wanted, strict=True)]
    assert max(differences) < 1e-6
    assert 0.2 < np.mean(values) < 0.8  # the cases tell networks apart


def labelled(images: list[Image]) -> torch.Tensor:
    most = max(1, *(len(rows) for _, rows in images))
    found = np.full((len(images), most, images[0][1].shape[1]), -1.0)
    for own, (_, rows) in zip(found, images, strict=True):
        own[: len(rows)] = rows
    return torch.from_numpy(found)


def test_a_keypoint_is_found_within_a_tenth_of_its_objects_box() -> None:
    points = np.array(
        [[[10, 10, 1], [50, 50, 2], [0, 0, 0]], [[80, 80, 1], [90, 90, 1], [70, 70, 1]]]
    )
    boxes = np.array([[0.0, 0, 0, 60, 100, 6000], [0, 60, 60, 100, 100, 1600]])
    rows = np.concatenate([boxes, points.reshape(2, -1)], 1)
    near = points[:, :, :2] + np.array([[[9, 0], [11, 0], [99, 0]], [[0, 3], [0, 5], [0, 0]]])
    found = Found(np.concatenate([near, points[:, :, 2:]], 2), np.array([0.5, 0.9]))
    assert KEYPOINTS.tally is not None
    tally = KEYPOINTS.tally("none", Reading(find_poses=lambda _: [found]))
    tally.add([torch.zeros(1, 1)], torch.from_numpy(rows)[None], [])
    assert tally.values(1)["pck"] == pytest.approx(3 / 5)
    shares = {each.number: each.values["pck"] for each in tally.by_class(1)}
    assert shares == {0: 1, 1: 0, 2: 1}


def test_intervals_hold_the_value_and_a_worse_network_differs_measurably() -> None:
    images = [random_images(2 * seed)[0] for seed in range(40)]
    good = [Found(rows[:, 6:].reshape(len(rows), 5, 3), np.ones(len(rows))) for _, rows in images]
    bad = [Found(each.points[: n % 2], each.scores[: n % 2]) for n, each in enumerate(good)]
    assert KEYPOINTS.tally is not None
    tally = KEYPOINTS.tally("none", Reading(find_poses=lambda a: good if a[0].any() else bad))
    tally.add([torch.zeros(40, 1)], labelled(images), [torch.ones(40, 1)])
    values, doubt = tally.values(40), tally.doubt(40)
    assert doubt.interval is not None
    assert doubt.interval[0] < values["oks_ap"] < doubt.interval[1]
    assert doubt.change is not None
    assert doubt.change.high < 0


def test_keypoints_without_a_known_form_are_refused() -> None:
    assert KEYPOINTS.tally is not None
    with pytest.raises(DataError, match="set 'head'"):
        KEYPOINTS.tally("none", Reading())
