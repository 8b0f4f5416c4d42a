"""Memory of the GPUs that a worker uses, as the driver reports it.

The worker itself imports no torch and starts no CUDA, so it asks ``nvidia-smi``.
"""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence

import structlog
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

log = structlog.get_logger(__name__)

_TTL_SECONDS = 10.0
_TIMEOUT_SECONDS = 5.0
_MEBIBYTE = 1024**2


class DeviceMemoryCollector(Collector):
    """Collector of the memory of GPUs; yields nothing while the driver does not answer.

    Args:
        devices: UUIDs or numbers of the GPUs; empty: all.
        run: Returns what ``nvidia-smi`` prints for some arguments.
        clock: Monotonic time in seconds.
    """

    def __init__(
        self,
        devices: Sequence[str] = (),
        run: Callable[[Sequence[str]], str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._devices, self._run, self._clock = devices, run or ask_driver, clock
        self._found: tuple[float, list[tuple[str, float, float]]] | None = None

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Yield used and total memory of each GPU."""
        used, total = self.describe()
        for gpu, used_bytes, total_bytes in self._read():
            used.add_metric((gpu,), used_bytes)
            total.add_metric((gpu,), total_bytes)
        return used, total

    def describe(self) -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
        """Return names without asking the driver."""
        return (
            GaugeMetricFamily(
                "secateur_device_memory_used_bytes", "Memory of a GPU in use.", labels=("gpu",)
            ),
            GaugeMetricFamily("secateur_device_memory_bytes", "Memory of a GPU.", labels=("gpu",)),
        )

    def _read(self) -> list[tuple[str, float, float]]:
        if self._found is None or self._clock() - self._found[0] >= _TTL_SECONDS:
            self._found = self._clock(), self._ask()
        return self._found[1]

    def _ask(self) -> list[tuple[str, float, float]]:
        arguments = ["--query-gpu=uuid,memory.used,memory.total", "--format=csv,noheader,nounits"]
        if self._devices:
            arguments.append(f"--id={','.join(self._devices)}")
        try:
            return [_parse(line) for line in self._run(arguments).splitlines() if line.strip()]
        except (OSError, subprocess.SubprocessError, ValueError):
            log.warning("metrics.no_device_memory", exc_info=True)
            return []


def _parse(line: str) -> tuple[str, float, float]:
    gpu, used, total = (part.strip() for part in line.split(","))
    return gpu, float(used) * _MEBIBYTE, float(total) * _MEBIBYTE


def ask_driver(arguments: Sequence[str]) -> str:
    """Return what ``nvidia-smi`` prints for some arguments.

    Raises:
        OSError: It is missing or cannot be run.
        SubprocessError: It fails, or does not answer in time.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        raise FileNotFoundError("nvidia-smi is not on PATH")
    done = subprocess.run(  # noqa: S603  # found on PATH, fixed arguments
        [program, *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_SECONDS,
    )
    return done.stdout
