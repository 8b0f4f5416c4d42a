"""The GPUs and MIG devices that a worker may use; the worker starts no CUDA."""

import subprocess
from collections.abc import Sequence

import structlog

from app.records.workers import Gpu
from app.telemetry.nvidia import Ask, ask_driver, read_memory

log = structlog.get_logger(__name__)


def list_gpus(devices: Sequence[str] = (), ask: Ask = ask_driver) -> tuple[Gpu, ...]:
    """Return the GPUs; none if the driver does not answer.

    Args:
        devices: UUIDs or numbers of the GPUs; empty: all.
        ask: Returns what ``nvidia-smi`` prints for some arguments.
    """
    try:
        return tuple(Gpu(gpu.uuid, gpu.name, gpu.total_bytes) for gpu in read_memory(devices, ask))
    except (OSError, subprocess.SubprocessError, ValueError):
        log.warning("worker.gpus_not_listed", exc_info=True)
        return ()
