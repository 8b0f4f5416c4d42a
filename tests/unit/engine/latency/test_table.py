"""Latencies that another device measured, in place of a timer."""

import json
import math

import pytest

from secateur.engine.errors import PlanError
from secateur.engine.graph import analyse
from secateur.engine.graph.cost import CostModel
from secateur.engine.latency import LatencyModel, LatencyTable, LayerShape, bench_of
from secateur.engine.latency.bench import shapes_to_measure
from secateur.engine.saliency import CRITERIA, SaliencyOptions
from secateur.engine.selection import Budget, Ratio, SelectionOptions, select
from tests.fixtures.networks import small_program, torchvision_program

PROGRAM = small_program(width=64)
ANALYSIS = analyse(PROGRAM)
COST = CostModel(PROGRAM, ANALYSIS)
SCORES = CRITERIA["l1"](PROGRAM, ANALYSIS, None, SaliencyOptions())
CONV = LayerShape("conv", 1, 64, 32, 1, (8, 8), (3, 3), (1, 1), (1, 1), (1, 1))


def conv(num_in: int, num_out: int, groups: int = 1) -> LayerShape:
    return LayerShape("conv", 1, num_in, num_out, groups, (8, 8), (3, 3), (1, 1), (1, 1), (1, 1))


def proportional(shape: LayerShape) -> float:
    return 1e-9 * shape.in_channels * shape.out_channels * math.prod(shape.space)


def table(cheap: int | None = None) -> LatencyTable:
    """Return a device on which layers ``cheap`` channels wide cost next to nothing."""
    return LatencyTable(
        {
            shape: proportional(shape) * (0.05 if cheap == shape.out_channels else 1.0)
            for shape in shapes_to_measure(PROGRAM, ANALYSIS)
        }
    )


def chosen(options: SelectionOptions, cheap: int | None) -> list[int]:
    timer = table(cheap)
    dense = sum(timer(shape) for shape in map(_full, ("conv1", "conv2", "conv3")))
    model = LatencyModel(PROGRAM, ANALYSIS, timer, dense)
    found = select(ANALYSIS, SCORES, options, COST, model)
    return [int(keep.sum()) for keep in found.keeps.values()]


def _full(name: str) -> LayerShape:
    sizes = {"conv1": (1, 64), "conv2": (64, 64), "conv3": (64, 128)}
    return next(
        shape
        for shape in shapes_to_measure(PROGRAM, ANALYSIS)
        if (shape.in_channels, shape.out_channels) == sizes[name]
    )


@pytest.mark.parametrize("cheap", [24, 48])
def test_a_width_that_is_cheap_on_the_device_is_chosen(cheap: int) -> None:
    by_ratio = SelectionOptions(Ratio(0.5), min_channels=1, round_to="auto")
    by_budget = SelectionOptions(Budget("latency", 0.4), min_channels=1, round_to="auto")
    for options in (by_ratio, by_budget):
        assert cheap in chosen(options, cheap)
        assert cheap not in chosen(options, None)


def test_every_measured_shape_is_returned_as_it_was_measured() -> None:
    found = table()
    for shape in shapes_to_measure(PROGRAM, ANALYSIS):
        assert found(shape) == proportional(shape)


def test_two_narrow_widths_are_estimated_from_pairs_with_one() -> None:
    seconds = {conv(i, 64): i * 1e-6 for i in (16, 32, 64)}
    seconds |= {conv(64, o): o * 1e-6 for o in (16, 32)}
    found = LatencyTable(seconds)
    assert found(conv(32, 16)) == pytest.approx(64e-6 / 8)
    assert found(conv(24, 32)) == pytest.approx(64e-6 * 24 / 64 / 2)


def test_layers_of_one_shape_do_not_mix_their_corners() -> None:
    """1024 to 256 channels and back: the pair of both full widths is measured nowhere."""
    seconds = {conv(*pair): math.prod(pair) * 1e-9 for pair in ((1024, 256), (512, 256))}
    seconds |= {conv(*pair): math.prod(pair) * 1e-9 for pair in ((1024, 128), (256, 1024))}
    assert LatencyTable(seconds)(conv(512, 128)) == pytest.approx(512 * 128e-9)


def test_depthwise_layers_have_one_width() -> None:
    found = LatencyTable({conv(w, w, w): w * 1e-6 for w in (8, 16, 32)})
    assert found(conv(16, 16, 16)) == 16e-6
    assert 16e-6 < found(conv(24, 24, 24)) < 32e-6


def test_below_the_narrowest_measured_width_nothing_is_promised() -> None:
    found = LatencyTable({conv(w, w, w): w * 1e-6 for w in (16, 32)})
    assert found(conv(4, 4, 4)) == found(conv(16, 16, 16))


def test_a_layer_that_was_not_measured_is_named() -> None:
    with pytest.raises(PlanError, match="no row for a 3x3 conv on 8x8 from 64 to 32 channels"):
        LatencyTable({conv(8, 8, 8): 1e-6})(conv(64, 32))


def test_networks_with_other_weights_share_a_bench_and_other_shapes_do_not() -> None:
    first, second = (bench_of(p, analyse(p)) for p in map(small_program, (0, 1)))
    assert first == second
    assert first["id"] != bench_of(PROGRAM, ANALYSIS)["id"]


def test_a_bench_is_small_and_covers_what_selection_asks_for() -> None:
    program = torchvision_program("mobilenet_v2")
    analysis = analyse(program)
    bench = bench_of(program, analysis)
    assert len(json.dumps(bench)) < 16_384
    found = LatencyTable({s: proportional(s) for s in shapes_to_measure(program, analysis)})
    model = LatencyModel(program, analysis, found, 1.0)
    scores = CRITERIA["l1"](program, analysis, None, SaliencyOptions())
    options = SelectionOptions(Budget("latency", 0.4), round_to="auto")
    kept = select(analysis, scores, options, CostModel(program, analysis), model).keeps
    widths = {name: int(keep.sum()) for name, keep in kept.items()}
    assert model.seconds_by_width({})(widths) <= 0.4
