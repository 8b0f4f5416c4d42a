"""Result of `quantize`: the file if there is one, and why it is so."""

from dataclasses import dataclass

from secateur.engine.measure import Comparison
from secateur.engine.quantize.calibration import CalibrationName
from secateur.engine.quantize.fusion import Fusion
from secateur.engine.quantize.judging import Quality
from secateur.engine.quantize.targets import IntegerTypes


@dataclass(frozen=True)
class Trial:
    """One int8 file that was tried.

    Attributes:
        recipe: Name of its recipe.
        calibration: How its ranges were measured.
        has_float_ends: Whether the first and the last layers stay float.
        num_float: Other layers that stay float because they lost the most.
        fusion: Operators that it becomes; None if it cannot be run.
        speedup: Speed relative to the fp32 file; None if it was not timed.
        drop: Drop of the quality below the fp32 file's; None if it was not judged.
        trouble: Why it cannot be written or run; empty if it can.
    """

    recipe: str
    calibration: CalibrationName
    has_float_ends: bool
    num_float: int = 0
    fusion: Fusion | None = None
    speedup: float | None = None
    drop: float | None = None
    trouble: str = ""


@dataclass(frozen=True)
class FloatLayer:
    """A layer that stays float.

    Attributes:
        name: Name of its weight.
        op: Its operator.
        reason: Why.
    """

    name: str
    op: str
    reason: str


@dataclass(frozen=True)
class Quantized:
    """Result of `quantize`.

    Attributes:
        is_kept: Whether there is an int8 file.
        reason: Why, in a sentence or two for users.
        types: Integer types.
        max_drop: The promise.
        before: Quality of the fp32 file; None if no int8 file was judged.
        after: Quality of the chosen int8 file, or of the one that came nearest.
        chosen: The chosen file; None if it was refused before one was chosen.
        latency: Latencies of both files in turns, and the speedup; None if nothing was timed.
        float_layers: Layers of the chosen file that stay float.
        num_bytes: Sizes of the fp32 and the int8 file; None without one.
        num_samples: Samples that calibrated it.
        trials: Every file that was tried.
        notes: What else the user should know.
    """

    is_kept: bool
    reason: str
    types: IntegerTypes
    max_drop: float
    before: Quality | None = None
    after: Quality | None = None
    chosen: Trial | None = None
    latency: Comparison | None = None
    float_layers: tuple[FloatLayer, ...] = ()
    num_bytes: tuple[int, int] | None = None
    num_samples: int = 0
    trials: tuple[Trial, ...] = ()
    notes: tuple[str, ...] = ()
