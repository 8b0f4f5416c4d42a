"""Meet a latency budget: choose widths by the model, measure the whole network, adjust, repeat.

The model is a sum of layers measured one by one; runtimes fuse layers and keep their layouts
between them, so the whole is measured too, and the target that the model is given moves until the
measurement meets the user's.
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
_MARGIN = 0.97  # aim a little lower: the final measurement must not fail by noise
_CLOSE = 0.93  # of the target; a network faster than this could have kept more
_HINT = (
    "Ask for a larger share of the latency; or lower min_channels or round_to, raise max_ratio, or "
    "exclude less."
)


@dataclass(frozen=True)
class LatencyFit:
    """The selection, and what was tried on the way.

    Attributes:
        selection: What stays.
        measured: Seconds of the pruned network over those of the dense one.
        trials: ``(share that the model was asked for, share that was measured)``, in order.
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
    """Return the selection that loses least among those measured to meet the budget.

    Args:
        analysis: The families.
        saliency: For each family its scores.
        options: With a `Budget` of latency.
        models: What the program costs, and how long its layers take.
        measure: Prune as selected and return the latency as a share of the dense network's.

    Raises:
        PlanError: No selection that was tried meets the budget; the nearest is named.
    """
    budget = options.mode
    assert isinstance(budget, Budget)  # noqa: S101  # the caller asks for nothing else
    aim = budget.share * _MARGIN
    best: LatencyFit | None = None
    trials: list[tuple[float, float]] = []
    refusal = ""
    low, high = 0.0, 1.0  # aims known to meet the budget, and known to miss it
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
            if measured >= _CLOSE * budget.share:
                break
        else:
            high = min(high, aim)
        aim = _next_aim(aim, measured, budget.share, low, high)
    if best is None:
        raise PlanError(_unmet(budget.share, trials, refusal), hint=_HINT)
    return replace(best, trials=tuple(trials))


def _next_aim(aim: float, measured: float, share: float, low: float, high: float) -> float:
    """Return the aim that would meet the budget if the model's error stayed as it is."""
    found = aim * share * _MARGIN / measured
    if low < found < high:
        return found
    return (low + high) / 2 if low > 0 else 0.8 * min(aim, high)


def _unmet(share: float, trials: list[tuple[float, float]], refusal: str) -> str:
    if not trials:
        return refusal
    nearest = min(measured for _, measured in trials)
    reason = f" ({refusal})" if refusal else ""
    return (
        f"a latency of {share:g} of the dense network's cannot be met: the nearest that was "
        f"measured is {nearest:.3f}{reason}"
    )
