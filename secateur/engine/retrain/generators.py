"""Random numbers of a training run, kept apart from the caller's."""

from contextlib import AbstractContextManager

import torch


def fork_generators(device: torch.device) -> AbstractContextManager[None]:
    """Return a context after which torch's generators, on the CPU and ``device``, are as before.

    Without a device named, torch saves the state of every GPU it sees, and initialises CUDA for
    that even if nothing is computed there.
    """
    if device.type == "cpu":
        return torch.random.fork_rng(devices=[])  # noqa: TID251  # named
    return torch.random.fork_rng(devices=[device], device_type=device.type)  # noqa: TID251
