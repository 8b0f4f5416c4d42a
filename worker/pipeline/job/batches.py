"""Batches that fit into memory: a pass that runs out of memory is repeated with smaller ones.

For passes that change nothing: scores, metrics, statistics. The size of training batches is part of
the result, so training fails, and the job is tried again with a smaller one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from worker.pipeline.job.failures import is_out_of_memory

T = TypeVar("T")


@dataclass
class Batches:
    """The batch sizes of one job.

    Attributes:
        device: Where the batches are computed.
        warn: Called with a message when a size did not fit.
        most: The largest size that may fit, by what is computed.
    """

    device: torch.device
    warn: Callable[[str], None]
    most: dict[str, int] = field(default_factory=dict)

    def run(self, what: str, size: int, compute: Callable[[int], T]) -> T:
        """Return ``compute(size)``, with half of the size as often as memory runs out.

        Args:
            what: Name of the pass in messages, such as "the evaluation".
            size: Samples per batch.
            compute: Makes a whole pass with batches of a size.
        """
        size = int(min(size, self.most.get(what, math.inf)))
        while True:
            try:
                return compute(size)
            except (RuntimeError, MemoryError) as error:
                if size <= 1 or not is_out_of_memory(error):
                    raise
            # Outside of the handler: the error holds the tensors of the pass.
            self._free()
            self.warn(
                f"{what} with {size} samples at a time ran out of memory: {size // 2} instead"
            )
            size //= 2
            self.most[what] = size

    def _free(self) -> None:
        if self.device.type != "cpu":
            torch.get_device_module(self.device).empty_cache()
