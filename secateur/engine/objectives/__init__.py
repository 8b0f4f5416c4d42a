"""What a network is trained for: labels, outputs, and one record for each objective.

Called by training, by scores and by criteria, so that all of them mean the same loss.
"""

from secateur.engine.objectives.labels import LabelKind
from secateur.engine.objectives.loss import Loss
from secateur.engine.objectives.objective import Answers, Objective
from secateur.engine.objectives.objectives import DEFAULTS, OBJECTIVES
from secateur.engine.objectives.options import ObjectiveOptions

__all__ = [
    "DEFAULTS",
    "OBJECTIVES",
    "Answers",
    "LabelKind",
    "Loss",
    "Objective",
    "ObjectiveOptions",
]
