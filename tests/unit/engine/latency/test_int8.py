"""Layers and networks in int8 beside fp32."""

from pathlib import Path

import pytest

from secateur.engine.export.onnx import export_onnx
from secateur.engine.graph import analyse
from secateur.engine.graph.cost import CostModel
from secateur.engine.latency import LatencyModel, LayerShape, LayerTimer
from secateur.engine.measure import Comparison, Speedup
from secateur.engine.quantize import Int8Trials, QuantizeOptions, trials
from secateur.engine.saliency import CRITERIA, SaliencyOptions
from secateur.engine.selection import Budget, SelectionOptions, select
from tests.fixtures.networks import small_program

PROGRAM = small_program(width=64)
ANALYSIS = analyse(PROGRAM)
COST = CostModel(PROGRAM, ANALYSIS)
SCORES = CRITERIA["l1"](PROGRAM, ANALYSIS, None, SaliencyOptions())

PAIRS = ((1, 64), (64, 64), (64, 128), (128, 4))


def floats(shape: LayerShape) -> float:
    return 1e-6 * shape.in_channels * shape.out_channels


def integers(shape: LayerShape) -> float:
    """Return the times of kernels that are four times faster, in blocks of 32 channels."""
    return floats(shape) / 4 * (32 * -(-shape.out_channels // 32)) / shape.out_channels


def test_the_share_of_an_int8_budget_is_of_the_dense_fp32_network() -> None:
    model = LatencyModel(PROGRAM, ANALYSIS, integers, None, 1, floats)
    dense = sum(floats(s) for s in (LayerShape("conv", 1, *pair) for pair in PAIRS))
    assert model.dense_seconds == pytest.approx(dense)
    assert model.seconds({}) == pytest.approx(
        sum(integers(LayerShape("conv", 1, *p)) for p in PAIRS)
    )
    options = SelectionOptions(Budget("latency", 0.15), min_channels=1, round_to="auto")
    found = select(ANALYSIS, SCORES, options, COST, model)
    assert model.seconds(found.keeps) <= 0.15 * model.dense_seconds
    assert all(int(keep.sum()) % 32 == 0 for keep in found.keeps.values())
    wide = SelectionOptions(Budget("latency", 0.4), min_channels=1, round_to="auto")
    assert select(ANALYSIS, SCORES, wide, COST, model).num_removed == 0  # int8 alone meets it


def test_a_prediction_has_the_conversions_that_the_whole_int8_network_was_measured_with() -> None:
    layers = sum(integers(LayerShape("conv", 1, *pair)) for pair in PAIRS)
    whole = 1.5 * layers
    model = LatencyModel(PROGRAM, ANALYSIS, integers, None, 1, floats, own_seconds=whole)
    assert model.seconds({}) == pytest.approx(whole)
    blind = LatencyModel(PROGRAM, ANALYSIS, integers, None, 1, floats)
    options = SelectionOptions(Budget("latency", 0.2), min_channels=1, round_to="auto")
    keeps = select(ANALYSIS, SCORES, options, COST, model).keeps
    assert blind.seconds(keeps) < model.seconds(keeps) <= 0.2 * model.dense_seconds
    assert COST.macs(keeps) < COST.macs(select(ANALYSIS, SCORES, options, COST, blind).keeps)
    faster = LatencyModel(PROGRAM, ANALYSIS, integers, None, 1, floats, own_seconds=0.5 * layers)
    assert faster.seconds({}) == pytest.approx(0.5 * layers)


def test_layers_are_timed_in_both_precisions() -> None:
    conv = LayerShape("conv", 1, 64, 64, 1, (16, 16), (3, 3), (1, 1), (1, 1), (1, 1))
    linear = LayerShape("linear", 1, 32, 16, space=(7,))
    depthwise = LayerShape("conv", 2, 8, 8, 8, (8, 8), (3, 3), (2, 2), (1, 1), (1, 1))
    timer = LayerTimer(precision="int8")
    assert all(timer(shape) > 0 for shape in (conv, linear, depthwise))


@pytest.mark.parametrize(
    ("fp32", "int8", "share", "precision"),
    [(1.5, 3.0, 1 / 3, "int8"), (1.5, 1.55, 1 / 1.5, "fp32"), (1.5, 1.0, 1 / 1.5, "fp32")],
)
def test_int8_counts_where_it_would_be_kept(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fp32: float,
    int8: float,
    share: float,
    precision: str,
) -> None:
    dense = tmp_path / "dense.onnx"
    export_onnx(PROGRAM, dense)

    def compare(*_: object, **__: object) -> Comparison:
        ratios = [Speedup(1, each, each, each, 7) for each in (fp32, int8)]
        return Comparison([], [[each] for each in ratios], None)  # type: ignore[arg-type]

    monkeypatch.setattr(trials, "compare_latency", compare)
    found = Int8Trials(dense, PROGRAM.inputs, PROGRAM.example_inputs(2), QuantizeOptions())
    assert found.measure(dense) == (pytest.approx(share), precision)
    assert found.dense_share == pytest.approx(1 / int8)
