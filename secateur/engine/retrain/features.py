"""Attention maps: where a network looks, whatever its number of channels.

Zagoruyko and Komodakis 2017, "Paying More Attention to Attention", arXiv:1612.03928. The map of a
layer is the mean of its squared channels, normalised over the image; student and teacher have maps
of one shape even where the student has lost channels.
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
    """The layers that are compared: nodes of the student and the matching ones of the teacher."""

    student: tuple[fx.Node, ...]
    teacher: tuple[fx.Node, ...]


def find_taps(student: Program, teacher: Program) -> Taps:
    """Return the last layer of every image size that the network passes through.

    Raises:
        DataError: The two graphs are not the same network, or it has no images inside.
    """
    pairs = list(zip(student.graph.nodes, teacher.graph.nodes, strict=False))
    if len(student.graph.nodes) != len(teacher.graph.nodes) or any(
        (a.op, a.target) != (b.op, b.target) for a, b in pairs if a.op == "call_function"
    ):
        raise DataError("features are compared between a network and its own pruned version")
    shapes = propagate(teacher, 2)
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
    """Return the squared distance of the attention maps, averaged over layers and samples."""
    parts = [
        (_attention(a) - _attention(b)).square().sum(1).mean()
        for a, b in zip(found, wanted, strict=True)
    ]
    return torch.stack(parts).mean()


def _attention(x_NCHW: Tensor) -> Tensor:
    """Return (N, H * W), of norm one."""
    return F.normalize(x_NCHW.float().square().mean(1).flatten(1), dim=1)
