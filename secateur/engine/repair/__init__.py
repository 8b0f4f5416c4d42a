"""Repair: closed-form refitting of a pruned network's kept weights."""

from secateur.engine.repair.options import Refit, Repaired, RepairOptions
from secateur.engine.repair.repair import repair_program

__all__ = ["Refit", "RepairOptions", "Repaired", "repair_program"]
