"""Isolation of a training run's random numbers from the caller's."""

from contextlib import AbstractContextManager

import torch


def fork_generators(device: torch.device) -> AbstractContextManager[None]:
    """Return a context that restores torch's generators on the CPU and ``device`` on exit.

    The device is named because torch otherwise saves the state of every visible GPU, which
    initialises CUDA even if nothing is computed there.
    """
    if device.type == "cpu":
        return torch.random.fork_rng(devices=[])  # noqa: TID251  # named
    return torch.random.fork_rng(devices=[device], device_type=device.type)  # noqa: TID251
