"""Samples on the job's device."""

from dataclasses import dataclass

import torch
from torch import Tensor

from secateur.engine.samples import SampleSource

CPU = torch.device("cpu")


@dataclass(frozen=True)
class OnDevice:
    """Samples on an accelerator, copied asynchronously from pinned memory."""

    source: SampleSource
    device: torch.device

    def __len__(self) -> int:
        return len(self.source)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return a batch of samples and labels on the device."""
        x, y = self.source.batch(indices)
        moved = x.pin_memory().to(self.device, non_blocking=True)
        return moved, None if y is None else y.to(self.device, non_blocking=True)
