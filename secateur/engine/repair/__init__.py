"""Repair: closed-form refitting of a pruned network's kept weights, and folding without samples."""

from secateur.engine.repair.fold import Folded, fold_program, may_fold
from secateur.engine.repair.options import Refit, Repaired, RepairOptions
from secateur.engine.repair.repair import repair_program

__all__ = [
    "Folded",
    "Refit",
    "RepairOptions",
    "Repaired",
    "fold_program",
    "may_fold",
    "repair_program",
]
