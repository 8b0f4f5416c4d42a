"""Boxes of text from a map, against areas filled cell by cell."""

import numpy as np
import pytest

from app.contracts.decoding.areas import find_areas
from app.contracts.decoding.detector import Detector
from app.contracts.decoding.heads import find_heads

SIZE = (64, 96)


def filled(values: np.ndarray, is_in: np.ndarray) -> list[tuple[float, ...]]:
    left = {(int(y), int(x)) for y, x in np.argwhere(is_in)}
    found = []
    while left:
        area, ahead = [], [left.pop()]
        while ahead:
            y, x = ahead.pop()
            area.append((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            ahead += near
        rows, columns = zip(*area, strict=True)
        mean = float(np.mean([values[cell] for cell in area]))
        found.append((min(columns), min(rows), max(columns) + 1, max(rows) + 1, mean))
    return sorted(found)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.4, 0.6, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_areas_are_those_filled_cell_by_cell(seed: int, share: float) -> None:
    values = np.random.default_rng(seed).random((23, 31), np.float32)
    is_in = values < share
    found = find_areas(values, is_in)
    wanted = filled(values, is_in)
    own = sorted((*corners, mean) for corners, mean in zip(*found, strict=True))
    assert np.array(own).flatten() == pytest.approx(np.array(wanted).flatten(), abs=1e-5)


def test_a_winding_area_is_one() -> None:
    """A line from edge to edge and back: names must travel its whole length."""
    is_in = np.zeros((201, 64), bool)
    is_in[::2] = True
    is_in[1::4, -1] = is_in[3::4, 0] = True
    assert find_areas(is_in, is_in).corners.tolist() == [[0, 0, 64, 201]]


@pytest.mark.parametrize(("stride", "is_logits"), [(1, False), (4, False), (1, True)])
def test_a_text_detector_answers_grown_boxes(stride: int, is_logits: bool) -> None:
    values = np.full((2, 1, 64 // stride, 96 // stride), 0.1, np.float32)
    values[0, 0, 4:8, 5:15] = 0.8
    values[0, 0, 10, 2:9] = 0.9  # too low for text
    output = np.log(values / (1 - values)) if is_logits else values
    (head,) = find_heads([output.shape], SIZE)
    assert (head.name, head.num_classes([output.shape], SIZE)) == ("dbnet", 1)
    first, second = Detector("dbnet", SIZE, 0.25, 0.6)([output])
    grown = 1.5 * 4 * 10 / (2 * (4 + 10))
    wanted = np.array([5 - grown, 4 - grown, 15 + grown, 8 + grown]).clip(0) * stride
    assert first.corners.tolist() == [pytest.approx(wanted.tolist())]
    assert first.scores == pytest.approx([0.8])
    assert len(second.scores) == 0


def test_a_hostile_map_costs_little_and_answers_few_boxes() -> None:
    board = np.indices((640, 640)).sum(0) % 2  # a chessboard is one area by its corners
    (found,) = Detector("dbnet", (640, 640), 0.25, 0.6)([board[None, None].astype(np.float32)])
    assert len(found.scores) == 1
    (found,) = Detector("dbnet", SIZE, 0.25, 0.6)([np.full((1, 1, *SIZE), np.nan, np.float32)])
    assert len(found.scores) == 0
