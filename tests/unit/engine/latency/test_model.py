"""Latency model on a simulated machine whose kernels compute in blocks of 16 channels."""

import math

import pytest

from secateur.engine.errors import PlanError
from secateur.engine.graph import analyse
from secateur.engine.graph.cost import CostModel
from secateur.engine.latency import LatencyModel, LayerTimer, fit_latency
from secateur.engine.latency.timer import LayerShape
from secateur.engine.saliency import CRITERIA, SaliencyOptions
from secateur.engine.selection import Budget, Ratio, Selection, SelectionOptions, select
from tests.fixtures.networks import small_program

PROGRAM = small_program(width=64)
ANALYSIS = analyse(PROGRAM)
COST = CostModel(PROGRAM, ANALYSIS)
SCORES = CRITERIA["l1"](PROGRAM, ANALYSIS, None, SaliencyOptions())


class Blocks(LayerTimer):
    """Target whose time is proportional to the number of blocks."""

    def __call__(self, shape: LayerShape) -> float:
        blocks = math.ceil(shape.out_channels / 16) * math.ceil(shape.in_channels / 16)
        return 1e-6 * blocks * math.prod(shape.space) * math.prod(shape.kernel)


TIMER = Blocks()
# The layers' times add up to the dense network's, so no time is left for other operators.
DENSE = sum(term.at({}) for term in LatencyModel(PROGRAM, ANALYSIS, TIMER, 1.0)._layers({}))
MODEL = LatencyModel(PROGRAM, ANALYSIS, TIMER, DENSE)


def widths(selection: Selection) -> dict[str, int]:
    return {name: int(keep.sum()) for name, keep in selection.keeps.items()}


def test_the_prediction_at_full_width_is_the_measurement() -> None:
    for dense in (0.5, 2.0):
        whole = LatencyModel(PROGRAM, ANALYSIS, TIMER, dense).seconds_by_width({})({})
        assert whole == pytest.approx(dense)


@pytest.mark.parametrize("name", [family.name for family in ANALYSIS.families])
def test_efficient_widths_are_whole_blocks(name: str) -> None:
    found = MODEL.efficient_widths(name)
    assert found[0] == ANALYSIS.family(name).num_groups
    assert len(found) > 2
    assert all(width % 16 == 0 for width in found)


def test_round_to_auto_keeps_efficient_widths() -> None:
    options = SelectionOptions(Ratio(0.4), min_channels=1, round_to="auto")
    found = select(ANALYSIS, SCORES, options, COST, MODEL)
    assert all(width % 16 == 0 for width in widths(found).values())
    assert found.num_removed > 0


@pytest.mark.parametrize("round_to", [1, "auto"])
@pytest.mark.parametrize("share", [0.8, 0.5, 0.3])
def test_a_latency_budget_is_met_by_the_model(share: float, round_to: int | str) -> None:
    options = SelectionOptions(
        Budget("latency", share),
        min_channels=1,
        round_to=round_to,  # type: ignore[arg-type]
    )
    found = select(ANALYSIS, SCORES, options, COST, MODEL)
    seconds = MODEL.seconds_by_width({})
    assert seconds(widths(found)) <= share * MODEL.dense_seconds
    # No filter is removed without saving time: every width fills its blocks.
    for name, width in widths(found).items():
        assert width % 16 == 0 or width == ANALYSIS.family(name).num_groups


def test_without_measurements_a_latency_budget_and_auto_are_refused() -> None:
    for options in (
        SelectionOptions(Budget("latency", 0.5)),
        SelectionOptions(Ratio(0.5), round_to="auto"),
    ):
        with pytest.raises(PlanError, match="measured"):
            select(ANALYSIS, SCORES, options, COST)


@pytest.mark.parametrize("error", [0.7, 1.0, 1.4])
def test_the_fit_meets_the_budget_whatever_the_models_error(error: float) -> None:
    """The whole network saves less, or more, than the model predicts."""
    seconds = MODEL.seconds_by_width({})

    def measure(selection: Selection) -> float:
        saved = 1 - seconds(widths(selection)) / MODEL.dense_seconds
        return 1 - min(0.95, error * saved)

    options = SelectionOptions(Budget("latency", 0.6), min_channels=1, round_to="auto")
    found = fit_latency(ANALYSIS, SCORES, options, (COST, MODEL), measure)
    assert found.measured <= 0.6
    assert found.measured == measure(found.selection)
    assert (
        found.trials[-1][1] if len(found.trials) == 1 else min(t[1] for t in found.trials)
    ) <= 0.6


def test_an_unreachable_budget_names_the_nearest_point() -> None:
    options = SelectionOptions(Budget("latency", 0.5), min_channels=1, round_to="auto")
    with pytest.raises(PlanError, match=r"nearest that was measured is 0\.9"):
        fit_latency(ANALYSIS, SCORES, options, (COST, MODEL), lambda _: 0.9)


def test_real_layers_are_measured_once() -> None:
    timer = LayerTimer()
    conv = LayerShape("conv", 1, 8, 16, 1, (8, 8), (3, 3), (1, 1), (1, 1), (1, 1))
    depthwise = LayerShape("conv", 2, 8, 8, 8, (8, 8), (3, 3), (2, 2), (1, 1), (1, 1))
    transposed = LayerShape("conv_transpose", 1, 8, 4, 1, (8, 8), (2, 2), (2, 2), (0, 0), (1, 1))
    linear = LayerShape("linear", 1, 32, 16, space=(7,))
    huge = LayerShape("linear", 1, 2**20, 64, space=(1,))
    for shape in (conv, depthwise, transposed, linear, huge):
        first = timer(shape)
        assert first > 0
        assert timer(shape) == first
    assert len(timer.seconds) == 5
