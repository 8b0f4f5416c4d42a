"""Decoders of keypoints, against plain loops over their outputs."""

import numpy as np
import pytest

from app.contracts.decoding.heads import STRIDES
from app.contracts.decoding.poses import POSE_HEADS, PoseReader

SIZE = (64, 96)
NUM = sum((SIZE[0] // s) * (SIZE[1] // s) for s in STRIDES)
K = 4


@pytest.mark.parametrize(
    ("name", "shapes", "number"),
    [
        ("heatmaps", [(1, K, 16, 24)], K),
        ("heatmaps", [(1, K, 64, 96)], K),
        ("heatmaps", [(1, K, 16, 23)], None),
        ("heatmaps", [(1, K, 16, 24), (1, K, 16, 24)], None),
        ("yolov8_pose", [(1, 5 + 3 * K, NUM)], K),
        ("yolov8_pose", [(1, 6 + 3 * K, NUM)], None),
        ("yolov8_pose", [(1, 5, NUM)], None),
        ("yolov8_pose", [(1, 5 + 3 * K, NUM + 1)], None),
    ],
)
def test_a_head_with_keypoints_is_known_by_its_shapes(
    name: str, shapes: list[tuple[int, ...]], number: int | None
) -> None:
    assert POSE_HEADS[name].num_points(shapes, SIZE) == number


def test_heatmaps_give_the_highest_place_and_a_quarter_of_a_cell() -> None:
    maps = np.random.default_rng(0).random((3, K, 16, 24), np.float32)
    maps[0, 0, 0, 0] = 2  # a corner has no neighbours on both sides
    found = PoseReader("heatmaps", SIZE, 0.25, 0.6)([maps])
    for image, poses in zip(maps, found, strict=True):
        assert poses.points.shape == (1, K, 3)
        for values, (x, y, score) in zip(image, poses.points[0], strict=True):
            row, column = np.unravel_index(values.argmax(), values.shape)
            wanted_x, wanted_y = float(column), float(row)
            if 0 < column < 23:
                wanted_x += 0.25 if values[row, column + 1] > values[row, column - 1] else -0.25
            if 0 < row < 15:
                wanted_y += 0.25 if values[row + 1, column] > values[row - 1, column] else -0.25
            assert (x, y) == (4 * wanted_x, 4 * wanted_y)
            assert score == pytest.approx(min(1.0, values.max()))
        assert poses.scores[0] == pytest.approx(poses.points[0, :, 2].mean())


def test_yolov8_gives_keypoints_of_the_boxes_that_survive() -> None:
    output = np.zeros((1, 5 + 3 * K, NUM), np.float32)
    points = np.random.default_rng(0).random((NUM, K, 3), np.float32)
    output[0, 5:] = points.reshape(NUM, -1).T
    for anchor, x, score in ((3, 20, 0.8), (4, 21, 0.9), (9, 70, 0.5), (11, 40, 0.1)):
        output[0, :5, anchor] = x, 30, 20, 20, score
    (found,) = PoseReader("yolov8_pose", SIZE, 0.25, 0.6)([output])
    assert found.scores.tolist() == [pytest.approx(0.9), pytest.approx(0.5)]
    assert (found.points == points[[4, 9]]).all()
    assert found.corners[0].tolist() == [11, 20, 31, 40]


def test_hostile_outputs_find_nothing() -> None:
    broken = np.full((1, 5 + 3 * K, NUM), np.nan, np.float32)
    assert len(PoseReader("yolov8_pose", SIZE, 0.25, 0.6)([broken])[0].scores) == 0
    (found,) = PoseReader("heatmaps", SIZE, 0.25, 0.6)([np.full((1, K, 16, 24), np.nan)])
    assert np.isfinite(found.points).all()
    assert not found.points[..., 2].any()
