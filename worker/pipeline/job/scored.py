"""Metrics that a job has measured: the same network on the same samples is measured once.

Stages compare the same networks. The training of a search and the retrain stage after it both
measure the pruned, the recalibrated and the repaired network, and so do the stages that report.
"""

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor

from secateur.engine.metrics import Metrics
from secateur.engine.program.program import Program


class Scored:
    """Metrics by the content of the network and the samples."""

    def __init__(self) -> None:
        self._found: dict[bytes, Metrics] = {}

    def of(self, program: Program, indices: Tensor, measure: Callable[[], Metrics]) -> Metrics:
        """Return the metrics of a program on samples; measure them if they are not known."""
        key = _digest(program, indices)
        if key not in self._found:
            self._found[key] = measure()
        return self._found[key]


def _digest(program: Program, indices: Tensor) -> bytes:
    """Return a hash of the graph, of every tensor and of the samples."""
    found = hashlib.blake2b(f"{program.graph}".encode(), digest_size=16)
    for name, tensor in sorted(program.tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(_bytes(tensor))
    found.update(_bytes(indices))
    return found.digest()


def _bytes(tensor: Tensor) -> memoryview:
    flat = tensor.detach().cpu().contiguous().flatten()
    return flat.view(torch.uint8).numpy().data
