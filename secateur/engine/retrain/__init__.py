"""Training after pruning: the loop, its data protocol, its saved states, BatchNorm, and scores.

Called by the pipeline's retrain stage. Nothing here knows of plans or groups: masks are tensors.
"""

from secateur.engine.objectives.options import LabelKind, ObjectiveOptions
from secateur.engine.retrain.batch_norm import recalibrate
from secateur.engine.retrain.data import SampleSource, TensorSource, TrainingData, iterate, spread
from secateur.engine.retrain.evaluate import LOWER_IS_BETTER, Metrics, Reference, evaluate
from secateur.engine.retrain.loop import RetrainResult, retrain
from secateur.engine.retrain.options import (
    AugmentOptions,
    Hooks,
    OptimizerOptions,
    RetrainOptions,
)
from secateur.engine.retrain.phases import Cuts, Phase
from secateur.engine.retrain.state import EpochRecord, RetrainState, load_state, save_state

__all__ = [
    "LOWER_IS_BETTER",
    "AugmentOptions",
    "Cuts",
    "EpochRecord",
    "Hooks",
    "LabelKind",
    "Metrics",
    "ObjectiveOptions",
    "OptimizerOptions",
    "Phase",
    "Reference",
    "RetrainOptions",
    "RetrainResult",
    "RetrainState",
    "SampleSource",
    "TensorSource",
    "TrainingData",
    "evaluate",
    "iterate",
    "load_state",
    "recalibrate",
    "retrain",
    "save_state",
    "spread",
]
