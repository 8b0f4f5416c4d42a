"""Selection: from saliencies to what stays. Called by the pipeline; reads scores, writes masks."""

from secateur.engine.selection.options import (
    Budget,
    LayerOverride,
    Ratio,
    SelectionOptions,
    Steepness,
)
from secateur.engine.selection.select import Selection, select
from secateur.engine.selection.steepness import Cut, cut

__all__ = [
    "Budget",
    "Cut",
    "LayerOverride",
    "Ratio",
    "Selection",
    "SelectionOptions",
    "Steepness",
    "cut",
    "select",
]
