"""TF32 in training only: 10 bits of mantissa suffice for gradients, not for scores and proofs.

NVIDIA's GPUs since Ampere multiply float32 in TF32 where torch allows it; cuDNN's convolutions do
by default. Jobs switch it off (`worker.pipeline.job.device`), and a training step switches it on.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def allow_tf32(device: torch.device) -> Iterator[None]:
    """Allow TF32 in this context, if ``device`` is an accelerator."""
    if device.type == "cpu":
        yield
        return
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32, matmul.allow_tf32 = True, True
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before
