"""Distillation of embeddings: the angle to the dense network's vectors."""

import torch
import torch.nn.functional as F
from torch import Tensor

from secateur.engine.objectives.objective import Answers, Objective
from secateur.engine.objectives.options import ObjectiveOptions


def cosine_distance(found: Tensor, wanted: Tensor) -> Tensor:
    """Return one minus the cosine between vectors (N, ...) and the teacher's, (N,)."""
    return 1 - F.cosine_similarity(found.flatten(1), wanted.flatten(1), dim=1)


def _loss(answers: Answers, options: ObjectiveOptions) -> Tensor:
    del options
    pairs = zip(answers.found, answers.taught, strict=True)
    return torch.stack([cosine_distance(found, wanted).mean() for found, wanted in pairs]).mean()


DISTILL_COSINE = Objective(
    "distill_cosine",
    "from the directions of the dense network's vectors",
    "cosine distance to the teacher",
    _loss,
    labels=None,
    needs_teacher=True,
)
