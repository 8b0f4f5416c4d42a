"""Attention transfer: compares where student and teacher look, layer by layer.

Zagoruyko and Komodakis 2017, "Paying More Attention to Attention", arXiv:1612.03928. The attention
map of a layer is the mean of its squared channels, normalised over the image. Student and teacher
maps have the same shape even where the student has fewer channels.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from secateur.engine.errors import DataError
from secateur.engine.program.program import Program
from secateur.engine.program.shapes import propagate

_IMAGE_RANK = 4


@dataclass(frozen=True)
class Taps:
    """The compared layers: nodes of the student and the matching nodes of the teacher."""

    student: tuple[fx.Node, ...]
    teacher: tuple[fx.Node, ...]


def find_taps(student: Program, teacher: Program) -> Taps:
    """Return the last layer at each spatial size of the network.

    Raises:
        DataError: The graphs differ, or no layer has an image-shaped output (N, C, H, W).
    """
    pairs = list(zip(student.graph.nodes, teacher.graph.nodes, strict=False))
    if len(student.graph.nodes) != len(teacher.graph.nodes) or any(
        (a.op, a.target) != (b.op, b.target) for a, b in pairs if a.op == "call_function"
    ):
        raise DataError("features are compared between a network and its own pruned version")
    shapes = propagate(teacher)
    last: dict[tuple[int, int], tuple[fx.Node, fx.Node]] = {}
    for a, b in pairs:
        value = shapes.get(b)
        if b.op == "call_function" and isinstance(value, Tensor) and value.ndim == _IMAGE_RANK:
            size = (value.shape[2], value.shape[3])
            if min(size) > 1 and value.dtype.is_floating_point:
                last[size] = (a, b)
    if not last:
        raise DataError("the network has no layer with images: set retrain.distill.features to 0")
    return Taps(tuple(a for a, _ in last.values()), tuple(b for _, b in last.values()))


def attention_distance(found: list[Tensor], wanted: list[Tensor]) -> Tensor:
    """Return the squared distance between attention maps, averaged over layers and samples.

    Args:
        found: The student's layer outputs, (N, C, H, W) each.
        wanted: The teacher's, in the same order; the number of channels may differ.
    """
    parts = [
        (_attention(a) - _attention(b)).square().sum(1).mean()
        for a, b in zip(found, wanted, strict=True)
    ]
    return torch.stack(parts).mean()


def _attention(x_NCHW: Tensor) -> Tensor:
    """Return attention maps (N, H * W) with unit norm."""
    return F.normalize(x_NCHW.float().square().mean(1).flatten(1), dim=1)
