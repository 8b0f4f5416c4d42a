"""Options of `quantize`: plain values."""

from dataclasses import dataclass

from secateur.engine.export.session import CPU_PROVIDER
from secateur.engine.quantize.targets import TargetName


@dataclass(frozen=True)
class QuantizeOptions:
    """Promise and measurement of an int8 file.

    Attributes:
        max_drop: Largest drop of the quality below the fp32 file's.
        least_speedup: Speed relative to the fp32 file that an int8 file must have to be kept.
        target: Processor that serves; None: this machine's.
        must_be_faster: Whether a file that is not faster on this machine is refused. False for
            targets that this machine cannot measure.
        batch_sizes: Batch sizes to time; the first decides.
        num_threads: Threads of a timed call.
        provider: ONNX Runtime's execution provider of a timed call.
        seconds: Time of a latency measurement, for each batch size.
    """

    max_drop: float = 0.01
    least_speedup: float = 1.05
    target: TargetName | None = None
    must_be_faster: bool = True
    batch_sizes: tuple[int, ...] = (1, 8)
    num_threads: int = 1
    provider: str = CPU_PROVIDER
    seconds: float = 1.0
