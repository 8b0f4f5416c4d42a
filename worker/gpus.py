"""The GPUs that a worker may use, as ``nvidia-smi`` lists them; the worker starts no CUDA."""

import subprocess
from collections.abc import Callable, Sequence

import structlog

from app.records.workers import Gpu
from worker.device_memory import ask_driver

log = structlog.get_logger(__name__)

_MEBIBYTE = 1024**2
_QUERY = ("--query-gpu=uuid,name,memory.total", "--format=csv,noheader,nounits")


def list_gpus(
    devices: Sequence[str] = (), run: Callable[[Sequence[str]], str] = ask_driver
) -> tuple[Gpu, ...]:
    """Return the GPUs; none if the driver does not answer.

    Args:
        devices: UUIDs or numbers of the GPUs; empty: all.
        run: Returns what ``nvidia-smi`` prints for some arguments.
    """
    chosen = [f"--id={','.join(devices)}"] if devices else []
    try:
        lines = run([*_QUERY, *chosen]).splitlines()
        return tuple(_parse(line) for line in lines if line.strip())
    except (OSError, subprocess.SubprocessError, ValueError):
        log.warning("worker.gpus_not_listed", exc_info=True)
        return ()


def _parse(line: str) -> Gpu:
    uuid, name, total = (part.strip() for part in line.split(","))
    return Gpu(uuid, name, int(float(total)) * _MEBIBYTE)
