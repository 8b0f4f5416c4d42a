"""Score a program on labelled samples; float32, no gradients, nothing changes."""

from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.program.module import ProgramModule
from worker.engine.program.program import Program
from worker.engine.retrain.data import SampleSource, iterate
from worker.engine.retrain.objectives import cross_entropy


@dataclass(frozen=True)
class Metrics:
    """Top-1 accuracy in [0, 1] and mean cross-entropy over ``num_samples``."""

    top1: float
    loss: float
    num_samples: int


def evaluate(
    program: Program, source: SampleSource, indices: Tensor, batch_size: int = 256
) -> Metrics:
    """Return the metrics of ``program`` on the samples ``indices``.

    Raises:
        DataError: There are no samples, or labels that do not fit.
    """
    return evaluate_module(ProgramModule(program, copy=False), source, indices, batch_size)


def evaluate_module(
    module: ProgramModule, source: SampleSource, indices: Tensor, batch_size: int = 256
) -> Metrics:
    """Return the metrics of a module, which is left in the mode it was in."""
    was_training = module.training
    module.eval()
    num_hits, loss = 0, 0.0
    with torch.inference_mode():
        for x, y in iterate(source, indices, batch_size):
            logits = module.run((x,))[0].float()
            loss += float(cross_entropy(logits, y, reduction="sum"))
            num_hits += int((logits.argmax(1) == y).sum())
    module.train(was_training)
    num_samples = len(indices)
    return Metrics(num_hits / max(1, num_samples), loss / max(1, num_samples), num_samples)
