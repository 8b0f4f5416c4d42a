"""Training objectives: label kinds, output kinds, and one record per objective.

Training, metrics and saliency criteria share these definitions of the loss.
"""

from secateur.engine.objectives.labels import LabelKind
from secateur.engine.objectives.loss import Loss
from secateur.engine.objectives.objective import Answers, Objective
from secateur.engine.objectives.objectives import OBJECTIVES
from secateur.engine.objectives.options import ObjectiveOptions

__all__ = [
    "OBJECTIVES",
    "Answers",
    "LabelKind",
    "Loss",
    "Objective",
    "ObjectiveOptions",
]
