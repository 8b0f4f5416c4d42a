"""Meet a latency budget: choose widths by the model, measure the whole network, adjust, repeat.

The model sums layers that are measured one by one. Runtimes fuse layers and keep layouts between
them, so the whole network is measured too. The model's target is adjusted until the measured
latency meets the user's budget.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from secateur.engine.errors import PlanError
from secateur.engine.graph import Analysis
from secateur.engine.graph.cost import CostModel
from secateur.engine.latency.model import LatencyModel
from secateur.engine.selection import Budget, Selection, SelectionOptions, select

_MAX_TRIALS = 6
_MARGIN = 0.97  # aim below the budget, so that noise does not fail the final measurement
_CLOSE = 0.93  # share of the budget; a faster network could keep more channels
_HINT = (
    "Ask for a larger share of the latency; or lower min_channels or round_to, raise max_ratio, or "
    "exclude less."
)


@dataclass(frozen=True)
class LatencyFit:
    """Selection that meets a latency budget, with all trials.

    Attributes:
        selection: Channel groups to keep.
        measured: Latency of the pruned network as a share of the dense one's.
        trials: ``(target of the model, measured)`` of each trial in order, both as shares.
    """

    selection: Selection
    measured: float
    trials: tuple[tuple[float, float], ...]


def fit_latency(
    analysis: Analysis,
    saliency: Mapping[str, Tensor],
    options: SelectionOptions,
    models: tuple[CostModel, LatencyModel],
    measure: Callable[[Selection], float],
) -> LatencyFit:
    """Return the slowest measured selection that meets the budget, since it keeps the most.

    Args:
        analysis: Channel groups, by family.
        saliency: Scores of each family's groups.
        options: Options with a latency `Budget` as mode.
        models: Cost model and latency model of the program.
        measure: Prunes as selected and returns the latency as a share of the dense network's.

    Raises:
        PlanError: No trial meets the budget; the message names the nearest.
    """
    budget = options.mode
    assert isinstance(budget, Budget)  # noqa: S101  # the caller passes no other mode
    aim = budget.share * _MARGIN
    best: LatencyFit | None = None
    trials: list[tuple[float, float]] = []
    refusal = ""
    low, high = 0.0, 1.0  # largest target known to meet the budget, smallest known to miss it
    for _ in range(_MAX_TRIALS):
        try:
            asked = replace(options, mode=Budget("latency", aim))
            selection = select(analysis, saliency, asked, *models)
        except PlanError as error:
            refusal = str(error)
            if best is not None or not trials:
                break
            aim = (aim + min(high, trials[-1][0])) / 2
            continue
        measured = measure(selection)
        trials.append((aim, measured))
        if measured <= budget.share:
            low = max(low, aim)
            if best is None or measured > best.measured:
                best = LatencyFit(selection, measured, ())
            if measured >= _CLOSE * budget.share or selection.num_removed == 0:
                break
        else:
            high = min(high, aim)
        aim = _next_aim(aim, measured, budget.share, low, high)
    if best is None:
        raise PlanError(_budget_message(budget.share, trials, refusal), hint=_HINT)
    return replace(best, trials=tuple(trials))


def _next_aim(aim: float, measured: float, share: float, low: float, high: float) -> float:
    """Return the target that meets the budget if the model's error stays the same."""
    found = aim * share * _MARGIN / measured
    if low < found < high:
        return found
    return (low + high) / 2 if low > 0 else 0.8 * min(aim, high)


def _budget_message(share: float, trials: list[tuple[float, float]], refusal: str) -> str:
    if not trials:
        return refusal
    nearest = min(measured for _, measured in trials)
    reason = f" ({refusal})" if refusal else ""
    return (
        f"a latency of {share:g} of the dense network's cannot be met: the nearest that was "
        f"measured is {nearest:.3f}{reason}"
    )
