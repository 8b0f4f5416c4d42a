"""Memory of the GPUs and MIG devices that a worker uses, as the driver reports it.

The worker itself imports no torch and starts no CUDA, so it asks ``nvidia-smi``.
"""

import subprocess
import time
from collections.abc import Callable, Iterable, Sequence

import structlog
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from app.telemetry.nvidia import Ask, ask_driver, read_memory

log = structlog.get_logger(__name__)

_TTL_SECONDS = 10.0


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
        run: Ask = ask_driver,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._devices, self._run, self._clock = devices, run, clock
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
                "secateur_device_memory_used_bytes",
                "Memory of a GPU or MIG device in use.",
                labels=("gpu",),
            ),
            GaugeMetricFamily(
                "secateur_device_memory_bytes", "Memory of a GPU or MIG device.", labels=("gpu",)
            ),
        )

    def _read(self) -> list[tuple[str, float, float]]:
        if self._found is None or self._clock() - self._found[0] >= _TTL_SECONDS:
            self._found = self._clock(), self._ask()
        return self._found[1]

    def _ask(self) -> list[tuple[str, float, float]]:
        try:
            found = read_memory(self._devices, self._run)
        except (OSError, subprocess.SubprocessError, ValueError):
            log.warning("metrics.no_device_memory", exc_info=True)
            return []
        return [(gpu.uuid, gpu.used_bytes, gpu.total_bytes) for gpu in found]
