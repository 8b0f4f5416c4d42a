"""Selection: every mode, within every limit."""

import pytest
import torch
from torch import Tensor

from secateur.engine.errors import NothingPrunableError, PlanError
from secateur.engine.graph import Analysis, analyse
from secateur.engine.graph.cost import CostModel
from secateur.engine.selection import (
    Budget,
    LayerOverride,
    Ratio,
    Selection,
    SelectionOptions,
    Steepness,
    select,
)
from secateur.engine.selection.steepness import cut
from tests.fixtures.networks import small_program

PROGRAM = small_program(width=16)
ANALYSIS: Analysis = analyse(PROGRAM)
COST = CostModel(PROGRAM, ANALYSIS)


def ramp(offset: float = 0.0) -> dict[str, Tensor]:
    """Scores that rise with the index, so the lowest indices go first."""
    return {
        f.name: torch.arange(f.num_groups, dtype=torch.float64) / f.num_groups + offset
        for f in ANALYSIS.families
    }


def chosen(scores: dict[str, Tensor] | None = None, **options: object) -> Selection:
    values = {"min_channels": 1, "round_to": 1, **options}
    return select(ANALYSIS, scores or ramp(), SelectionOptions(**values), COST)  # type: ignore[arg-type]


def widths(selection: Selection) -> dict[str, int]:
    return {name: int(keep.sum()) for name, keep in selection.keeps.items()}


def test_a_ratio_removes_that_share_of_every_layer_lowest_first() -> None:
    found = chosen(mode=Ratio(0.25))
    assert widths(found) == {"conv1.weight": 12, "conv3.weight": 24}
    assert found.keeps["conv1.weight"].tolist() == [False] * 4 + [True] * 12


def test_a_global_ratio_takes_the_least_salient_wherever_they_are() -> None:
    scores = ramp()
    scores["conv3.weight"] += 10
    found = widths(chosen(scores, mode=Ratio(0.25, "global")))
    assert found == {"conv1.weight": 4, "conv3.weight": 32}


@pytest.mark.parametrize("unit", ["macs", "params"])
@pytest.mark.parametrize("share", [0.7, 0.5, 0.3])
@pytest.mark.parametrize("round_to", [1, 4])
def test_a_budget_is_met_and_not_missed_by_more_than_a_step(
    unit: str, share: float, round_to: int
) -> None:
    found = chosen(mode=Budget(unit, share), round_to=round_to)  # type: ignore[arg-type]
    cost = COST.macs if unit == "macs" else COST.params
    assert cost(found.keeps) <= share * cost({})
    for name, keep in found.keeps.items():  # giving back one step anywhere would miss it
        wider = keep.clone()
        removed = (~keep).nonzero().flatten()[-round_to:]
        wider[removed] = True
        if len(removed):
            assert cost({**found.keeps, name: wider}) > share * cost({})


def test_the_error_for_an_unreachable_budget_names_a_reachable_one() -> None:
    with pytest.raises(PlanError, match=r"0\.\d+"):
        chosen(mode=Budget("macs", 0.01), max_ratio=0.5)


@pytest.mark.parametrize("round_to", [2, 4, 8, 16])
def test_widths_are_multiples(round_to: int) -> None:
    for mode in (Ratio(0.4), Steepness(2.0), Budget("macs", 0.9)):
        for width in widths(chosen(mode=mode, round_to=round_to)).values():
            assert width % round_to == 0


def test_selection_respects_its_limits() -> None:
    assert min(widths(chosen(mode=Ratio(0.9), min_channels=7)).values()) >= 7
    found = widths(chosen(mode=Ratio(0.9), max_ratio=0.5))
    assert found == {"conv1.weight": 8, "conv3.weight": 16}


def test_excluded_layers_keep_everything_and_overrides_their_own_ratio() -> None:
    found = widths(chosen(mode=Ratio(0.5), exclude=("conv3*",)))
    assert found["conv3.weight"] == 32
    layers = {"conv3*": LayerOverride(ratio=0.75)}
    assert widths(chosen(mode=Ratio(0.5), layers=layers))["conv3.weight"] == 8


def test_globs_without_a_match_are_reported() -> None:
    options = SelectionOptions(exclude=("typo*", "conv3*"), layers={"con?1*": LayerOverride(0.5)})
    assert options.unmatched(PROGRAM.parameters()) == ("typo*",)
    assert options.unmatched(["conv9.weight"]) == ("typo*", "conv3*", "con?1*")


def test_nothing_to_prune_is_a_clear_answer() -> None:
    with pytest.raises(NothingPrunableError, match="min_channels 32"):
        chosen(mode=Ratio(0.5), min_channels=32)


def test_constant_saliency_prunes_nothing_by_steepness_with_a_note() -> None:
    scores = {name: torch.ones_like(s) for name, s in ramp().items()}
    found = chosen(scores, mode=Steepness())
    assert found.num_removed == 0
    assert all("constant" in detail["reason"] for detail in found.details.values())


def test_selection_is_deterministic_under_ties() -> None:
    scores = {name: torch.zeros_like(s) for name, s in ramp().items()}
    first, second = (chosen(scores, mode=Ratio(0.5)).keeps for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("curve", "num_removed"),
    [
        ([0, 0, 0, 0, 1, 1, 1, 1], 4),
        ([1, 1, 1, 1], 0),
        ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 0),
        ([0.5], 0),
        ([0.1] * 19 + [1.0], 19),
    ],
)
def test_the_cut_of_plain_curves(curve: list[float], num_removed: int) -> None:
    assert cut([float(s) for s in curve]).num_removed == num_removed


def test_a_larger_steepness_prunes_more() -> None:
    curve = [(k / 31) ** 3 for k in range(32)]
    removed = [cut(curve, steepness).num_removed for steepness in (0.3, 0.6, 1.0, 1.5, 2.5)]
    assert removed == sorted(removed)
    assert removed[0] < removed[-1]


def test_a_budget_narrows_all_layers_together() -> None:
    """By the sum of saliencies, the layer with the dearest filters went down to its limit first."""
    flat = {f.name: torch.ones(f.num_groups, dtype=torch.float64) for f in ANALYSIS.families}
    found = widths(chosen(flat, mode=Budget("macs", 0.3)))
    shares = [found[f.name] / f.num_groups for f in ANALYSIS.families]
    assert min(shares) > 0.2
    assert max(shares) / min(shares) < 3


def test_the_unit_of_a_layers_saliencies_does_not_move_a_budget() -> None:
    scores = ramp(0.1)
    louder = {**scores, "conv3.weight": scores["conv3.weight"] * 1e6}
    budget = Budget("macs", 0.4)
    assert widths(chosen(scores, mode=budget)) == widths(chosen(louder, mode=budget))


@pytest.mark.parametrize("mode", [Budget("macs", 0.3), Ratio(0.6), Ratio(0.6, "global")])
def test_groups_removed_by_earlier_cuts_stay_removed(mode: Budget | Ratio) -> None:
    first = chosen(mode=Ratio(0.25))
    turned = {name: -scores for name, scores in ramp().items()}  # now the last ones matter least
    options = SelectionOptions(mode, min_channels=1, round_to=1)
    then = select(ANALYSIS, turned, options, COST, alive=first.keeps)
    assert then.num_removed > first.num_removed
    for name, keep in then.keeps.items():
        assert not bool((keep & ~first.keeps[name]).any()), name
