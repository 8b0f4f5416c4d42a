"""Selection: from saliencies to what stays. Called by the pipeline; reads scores, writes masks."""

from worker.engine.selection.options import (
    Budget,
    LayerOverride,
    Ratio,
    SelectionOptions,
    Steepness,
)
from worker.engine.selection.select import CostModel, Selection, select
from worker.engine.selection.steepness import Cut, cut

__all__ = [
    "Budget",
    "CostModel",
    "Cut",
    "LayerOverride",
    "Ratio",
    "Selection",
    "SelectionOptions",
    "Steepness",
    "cut",
    "select",
]
