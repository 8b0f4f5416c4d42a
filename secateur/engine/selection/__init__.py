"""Selection: from saliency scores to masks of the groups to keep. Called by the pipeline."""

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
