"""Training after pruning: the loop, its data, its saved states, and BatchNorm.

Called by the pipeline's retrain stage. Plans and channel groups are unknown here: masks are
tensors by name.
"""

from secateur.engine.retrain.batch_norm import recalibrate
from secateur.engine.retrain.data import TrainingData
from secateur.engine.retrain.loop import RetrainResult, retrain_program
from secateur.engine.retrain.options import (
    AugmentOptions,
    Hooks,
    OptimizerOptions,
    RetrainOptions,
)
from secateur.engine.retrain.phases import Cuts, Phase
from secateur.engine.retrain.state import EpochRecord, RetrainState, load_state, save_state

__all__ = [
    "AugmentOptions",
    "Cuts",
    "EpochRecord",
    "Hooks",
    "OptimizerOptions",
    "Phase",
    "RetrainOptions",
    "RetrainResult",
    "RetrainState",
    "TrainingData",
    "load_state",
    "recalibrate",
    "retrain_program",
    "save_state",
]
