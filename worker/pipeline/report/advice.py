"""Advice on a model: what goes at a ratio of 0.5, what holds the rest back, and what to do."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from secateur.engine.errors import NothingPrunableError
from secateur.engine.graph import Analysis
from secateur.engine.graph.cost import CostModel
from secateur.engine.program.program import Program
from secateur.engine.saliency import CRITERIA, SaliencyOptions
from secateur.engine.selection import Ratio, SelectionOptions, select

_RATIO = 0.5
_LEAST = 0.05  # share of the MACs that is worth a sentence
_OUTPUT = "reaches the network's output"
# What to do about a frozen channel, by a part of the reason.
_REMEDIES = {
    _OUTPUT: "this layer's width is what the network answers, so prune the layers before it",
    "kernels of its own for each sample": "mix the outputs of the experts instead of their kernels",
    "has no rule": "write that line with other operators, or prune around it",
    "by its position": "take channels with split or chunk instead of by their numbers",
    "by position": "take channels with split or chunk instead of by their numbers",
    "that no parameter produces": "store what it meets as a parameter or a buffer of the module",
    "stored constants": "make these constants parameters if they may be learned",
    "trained weights in between": "put a layer between these channels and the output",
}


def advise(program: Program, analysis: Analysis, layers: Sequence[Mapping[str, Any]]) -> str:
    """Return what share of the MACs goes at a ratio of 0.5, and what to do about the rest.

    Args:
        program: The model.
        analysis: Its channel groups.
        layers: Its layers with their weights and MACs, from a verdict.
    """
    cost = CostModel(program, analysis)
    dense = max(1, cost.macs({}))
    rounded, free = (_share_left(program, analysis, cost, step) for step in (8, 1))
    held = _held_most(analysis, {layer["weight"]: layer["macs"] for layer in layers})
    if free is None:
        most = f": most MACs are in layers whose width {held[0]}{held[2]}" if held else ""
        return f"No filter can go{most}."
    left = 1.0 if rounded is None else rounded
    said = f"At a ratio of {_RATIO}, {1 - left:.0%} of the MACs go"
    if left - free >= _LEAST:
        said += (
            f"; rounding widths to multiples of 8 holds {left - free:.0%} back, "
            "which round_to 1 releases, at some cost in speed"
        )
    if held and held[1] / dense >= _LEAST:
        reason, macs, remedy = held
        said += f"; {macs / dense:.0%} are in layers whose width {reason}{remedy}"
    return said + "."


def _share_left(program: Program, analysis: Analysis, cost: CostModel, step: int) -> float | None:
    """Return the share of MACs left at the ratio; None if no filter can go."""
    scores = CRITERIA["l1"](program, analysis, None, SaliencyOptions())
    options = SelectionOptions(mode=Ratio(_RATIO), round_to=step)
    try:
        keeps = select(analysis, scores, options, cost).keeps
    except NothingPrunableError:
        return None
    return cost.macs(keeps) / max(1, cost.macs({}))


def _held_most(analysis: Analysis, macs: Mapping[str, int]) -> tuple[str, int, str] | None:
    """Return the reason that freezes most MACs, these MACs, and what to do."""
    held: Counter[tuple[str, str]] = Counter()
    for frozen in analysis.frozen:
        source = frozen.pin.source.rpartition("/")[2]
        held[frozen.pin.reason, source] += macs.get(frozen.tensor, 0)
    for (reason, source), num in held.most_common(1):
        remedy = next((text for part, text in _REMEDIES.items() if part in reason), "")
        at = f" ({source})" if source and reason != _OUTPUT else ""
        return reason, num, at + (f": {remedy}" if remedy else "")
    return None
