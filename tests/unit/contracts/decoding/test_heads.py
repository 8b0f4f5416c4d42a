"""Decoders of detectors, against plain loops over their outputs."""

from typing import get_args

import numpy as np
import pytest
import torch
from torchvision.ops import batched_nms

from app.contracts.decoding.boxes import Boxes, best
from app.contracts.decoding.detector import Detector
from app.contracts.decoding.heads import HEADS, STRIDES, find_heads, is_usual_detector
from app.contracts.decoding.poses import POSE_HEADS
from app.contracts.task_spec import DetectorHead, PoseHeadName

SIZE = (64, 96)
CELLS = [(y, x, s) for s in STRIDES for y in range(SIZE[0] // s) for x in range(SIZE[1] // s)]
NUM = len(CELLS)
K = 3


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, np.float32)


def test_the_config_names_every_head() -> None:
    assert set(get_args(DetectorHead)) == set(HEADS)
    assert set(get_args(PoseHeadName)) == set(POSE_HEADS)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("yolov8", [(1, 4 + K, NUM)]),
        ("yolov8_raw", [(1, 64 + K, 8, 12), (1, 64 + K, 4, 6), (1, 64 + K, 2, 3)]),
        ("yolov8_raw", [(1, 4 + K, 8, 12)]),
        ("yolov5", [(1, 3 * NUM, 5 + K)]),
        ("yolox", [(1, NUM, 5 + K)]),
        ("yolov8", [(1, 4 + K, 96 + 24)]),  # two strides instead of three
        ("yolov8", [(1, 4 + K, NUM + 384)]),  # a fourth, of 4
        ("yolov5", [(1, 3 * (24 + 6), 5 + K)]),
        ("yolox", [(1, 24 + 6, 5 + K)]),
        ("ssd", [(1, 50, 4), (1, 50, K)]),
        ("ssd", [(1, 50, K), (1, 50, 4)]),
    ],
)
def test_a_head_is_known_by_its_shapes(name: str, shapes: list[tuple[int, ...]]) -> None:
    found = find_heads(shapes, SIZE)
    assert [head.name for head in found] == [name]
    assert found[0].num_classes(shapes, SIZE) == K


@pytest.mark.parametrize(
    "shapes", [[], [(1, 10)], [(1, 7, 100)], [(1, 3, 64, 96)], [(1, 0, 4), (1, 0, 3)], [(1, 50, 4)]]
)
def test_other_outputs_are_no_head(shapes: list[tuple[int, ...]]) -> None:
    assert find_heads(shapes, SIZE) == []


def test_only_the_usual_grids_tell_a_detector_without_labels() -> None:
    assert is_usual_detector([(1, 4 + K, NUM)], SIZE)
    assert is_usual_detector([(1, 3 * NUM, 5 + K)], SIZE)
    assert not is_usual_detector([(1, 4 + K, 96 + 24)], SIZE)  # may be steps of a text
    assert not is_usual_detector([(1, 4 + K, NUM), (1, 2)], SIZE)


def test_yolox_decodes_by_the_strides_that_it_has() -> None:
    output = np.zeros((1, 24 + 6, 5 + K), np.float32)  # strides 16 and 32: logarithms are 0
    found = HEADS["yolox"].decode([output], SIZE)[0].corners
    assert found[0].tolist() == [-8, -8, 8, 8]
    assert found[7].tolist() == [8, 8, 24, 24]
    assert found[24 + 4].tolist() == [16, 16, 48, 48]


def test_yolov8_gives_centres_in_pixels() -> None:
    output = draw(2, 4 + K, NUM)
    found = HEADS["yolov8"].decode([output], SIZE)[1]
    x, y, width, height = output[1, :4, 5]
    assert found.corners[5] == pytest.approx(
        [x - width / 2, y - height / 2, x + width / 2, y + height / 2], abs=1e-6
    )
    assert found.classes[5] == output[1, 4:, 5].argmax()
    assert found.scores[5] == output[1, 4:, 5].max()


@pytest.mark.parametrize("bins", [1, 16])
def test_yolov8_before_decoding_gives_distances_in_strides(bins: int) -> None:
    maps = [draw(1, 4 * bins + K, SIZE[0] // s, SIZE[1] // s) * 3 for s in STRIDES]
    found = HEADS["yolov8_raw"].decode(maps, SIZE)[0]
    for number, (y, x, stride) in enumerate(CELLS):
        values = maps[STRIDES.index(stride)][0, :, y, x].astype(np.float64)
        sides = values[: 4 * bins].reshape(4, bins)
        if bins > 1:
            shares = np.exp(sides) / np.exp(sides).sum(1, keepdims=True)
            distances = (shares * np.arange(bins)).sum(1)
        else:
            distances = sides[:, 0]
        left, top, right, bottom = distances * stride
        middle = ((x + 0.5) * stride, (y + 0.5) * stride)
        corners = [middle[0] - left, middle[1] - top, middle[0] + right, middle[1] + bottom]
        assert found.corners[number] == pytest.approx(corners, abs=1e-3)
        score = 1 / (1 + np.exp(-values[4 * bins :].max()))
        assert found.scores[number] == pytest.approx(score, abs=1e-5)


def test_yolox_gives_offsets_from_the_cell() -> None:
    output = draw(1, NUM, 5 + K)
    found = HEADS["yolox"].decode([output], SIZE)[0]
    for number, (y, x, stride) in enumerate(CELLS):
        values = output[0, number]
        centre = (values[0] + x) * stride, (values[1] + y) * stride
        half = np.exp(values[2]) * stride / 2, np.exp(values[3]) * stride / 2
        corners = [
            centre[0] - half[0],
            centre[1] - half[1],
            centre[0] + half[0],
            centre[1] + half[1],
        ]
        assert found.corners[number] == pytest.approx(corners, rel=1e-5)
        assert found.scores[number] == pytest.approx(values[4] * values[5:].max())


def test_yolov5_multiplies_objectness_and_score() -> None:
    output = draw(1, 3 * NUM, 5 + K)
    found = HEADS["yolov5"].decode([output], SIZE)[0]
    assert found.scores[7] == pytest.approx(output[0, 7, 4] * output[0, 7, 5:].max())


@pytest.mark.parametrize("factor", [1.0, 50.0])
def test_ssd_takes_shares_or_pixels_and_drops_the_background(factor: float) -> None:
    corners = np.array([[[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 1.0, 1.0]]], np.float32) * factor
    scores = np.array([[[0.9, 0.1, 0.0], [0.1, 0.2, 0.7]]], np.float32)
    detector = Detector("ssd", SIZE, 0.25, 0.5, has_background=True)
    (found,) = detector([scores, corners])
    wanted = corners[0, 1] * ([96, 64, 96, 64] if factor == 1 else 1)
    assert found.corners.tolist() == [pytest.approx(wanted.tolist())]
    assert found.classes.tolist() == [1]


@pytest.mark.parametrize("seed", range(10))
def test_suppression_is_that_of_torchvision(seed: int) -> None:
    generator = np.random.default_rng(seed)
    start = generator.uniform(0, 30, (60, 2))
    corners = np.concatenate([start, start + generator.uniform(5, 30, (60, 2))], 1)
    scores, classes = generator.random(60), generator.integers(0, 3, 60)
    found = best(Boxes(corners, scores, classes), 0.2, 0.5)
    chosen = np.flatnonzero(scores >= 0.2)
    wanted = batched_nms(
        torch.from_numpy(corners[chosen]),
        torch.from_numpy(scores[chosen]),
        torch.from_numpy(classes[chosen]),
        0.5,
    )
    assert found.scores.tolist() == scores[chosen][wanted.numpy()].tolist()


def test_hostile_boxes_cost_little_and_answer_nothing() -> None:
    corners = np.full((5000, 4), np.nan)
    corners[0] = [0, 0, np.inf, 1]
    corners[1] = [5, 5, 4, 4]
    corners[2] = [0, 0, 3e38, 3e38]
    found = best(Boxes(corners, np.full(5000, np.nan), np.zeros(5000, int)), 0.2, 0.5)
    assert len(found.scores) == 0
    many = np.tile([0.0, 0, 1, 1], (5000, 1)) + np.arange(5000)[:, None] * 2
    assert len(best(Boxes(many, np.ones(5000), np.zeros(5000, int)), 0.2, 0.5).scores) == 100
