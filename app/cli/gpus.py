"""List this machine's GPUs by UUID: indices change with driver and environment."""

import shutil
import subprocess

_TIMEOUT_SECONDS = 30


class GpuError(Exception):
    """The GPUs cannot be listed; the message says what to do."""


def list_gpus() -> tuple[str, ...]:
    """Return the UUIDs of the GPUs, in the driver's order.

    Raises:
        GpuError: The driver is missing or does not answer, or it lists no GPU.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        raise GpuError(
            "worker.device is cuda but nvidia-smi was not found: install the NVIDIA driver, list "
            "the GPUs in SECATEUR_WORKER__GPUS, or set SECATEUR_WORKER__DEVICE=cpu"
        )
    try:
        done = subprocess.run(  # noqa: S603  # found on PATH, fixed arguments
            [program, "--query-gpu=uuid", "--format=csv,noheader"],
            check=True,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
        )
    except (subprocess.SubprocessError, OSError) as error:
        raise GpuError(f"nvidia-smi cannot list the GPUs: {error}") from error
    found = tuple(line.strip() for line in done.stdout.splitlines() if line.strip())
    if not found:
        raise GpuError("worker.device is cuda but nvidia-smi lists no GPU")
    return found
