"""List this machine's GPUs by UUID: indices change with driver and environment."""

import functools
import subprocess

from app.telemetry.nvidia import ask_driver, list_devices

_TIMEOUT_SECONDS = 30.0  # without persistence mode the driver starts first


class GpuError(Exception):
    """The GPUs cannot be listed; the message says what to do."""


def list_gpus() -> tuple[str, ...]:
    """Return the UUIDs of the GPUs, in the driver's order; of MIG devices where a GPU has some.

    Raises:
        GpuError: The driver is missing or does not answer, or it lists no GPU.
    """
    ask = functools.partial(ask_driver, timeout_seconds=_TIMEOUT_SECONDS)
    try:
        found = tuple(device.uuid for device in list_devices(ask))
    except FileNotFoundError as error:
        raise GpuError(
            "worker.device is cuda but nvidia-smi was not found: install the NVIDIA driver, list "
            "the GPUs in SECATEUR_WORKER__GPUS, or set SECATEUR_WORKER__DEVICE=cpu"
        ) from error
    except (subprocess.SubprocessError, OSError) as error:
        raise GpuError(f"nvidia-smi cannot list the GPUs: {error}") from error
    if not found:
        raise GpuError("worker.device is cuda but nvidia-smi lists no GPU")
    return found
