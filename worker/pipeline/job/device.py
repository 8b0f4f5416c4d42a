"""The job's device: checked and set up once, and the samples on it.

Networks stay on the CPU between computations. `Inputs.on_device` and `OnDevice` are the two ways to
the device, and results come back, so no stage has to know where another one computed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from secateur.engine.samples import to_device
from worker.pipeline.data import Dataset

CPU = torch.device("cpu")


class DeviceUnavailableError(Exception):
    """The job's device does not compute; another worker's may."""


@dataclass(frozen=True)
class OnDevice:
    """Samples on an accelerator: copied as they are stored, and preprocessed there."""

    dataset: Dataset
    device: torch.device

    def __len__(self) -> int:
        return len(self.dataset)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return a batch of samples and labels on the device."""
        raw, labels = self.dataset.raw(indices)
        x = self.dataset.prepare(to_device(raw, self.device))
        return x, None if labels is None else to_device(labels, self.device)


def start_device(name: str) -> torch.device:
    """Return a device that computes, and set it up: float32 in full, the same bytes every time.

    TF32 is off, because scores and measurements are those of float32; training steps allow it.

    Raises:
        DeviceUnavailableError: It does not compute.
    """
    device = torch.device(name)
    if device.type == "cpu":
        return device
    try:
        torch.get_device_module(device).set_device(device)
        total = float(torch.ones(8, device=device).sum())
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DeviceUnavailableError(
            f"the worker's device {name} does not compute: {reason}"
        ) from (error)
    if total != 8:  # noqa: PLR2004  # as many ones
        raise DeviceUnavailableError(f"the worker's device {name} computes wrong sums")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    return device


def describe_device(device: torch.device) -> str | None:
    """Return the name of an accelerator; None for the CPU."""
    if device.type == "cpu":
        return None
    return str(torch.get_device_module(device).get_device_name(device))


def peak_reader(device: torch.device) -> Callable[[], int | None]:
    """Return a function that returns the most bytes allocated since its last call."""
    if device.type == "cpu":
        return lambda: None
    module = torch.get_device_module(device)

    def read() -> int:
        peak = int(module.max_memory_allocated(device))
        module.reset_peak_memory_stats(device)
        return peak

    return read
