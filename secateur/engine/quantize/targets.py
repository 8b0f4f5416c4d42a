"""Integer types by the processor that serves; ONNX Runtime's own defaults fit none of them.

On x86 its fast kernels multiply unsigned activations by signed weights. Without VNNI two products
are added in 16 bits, which overflows with 8-bit weights (onnxruntime#12072: 0.0003 top-1), so
weights keep 7 bits there. Arm's kernels multiply signed values. TensorRT takes symmetric ranges.
"""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

TargetName = Literal["vnni", "avx2", "arm", "tensorrt"]

_ARM = frozenset({"aarch64", "arm64", "armv7l", "armv8l"})
_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class IntegerTypes:
    """Types and ranges of an int8 file.

    Attributes:
        name: Name of the target.
        words: The processors that it means.
        is_signed: Whether activations are signed.
        is_symmetric: Whether the ranges of activations are symmetric around zero.
        has_reduced_weights: Whether weights use 7 bits.
    """

    name: TargetName
    words: str
    is_signed: bool = False
    is_symmetric: bool = False
    has_reduced_weights: bool = False


_ALL = (
    IntegerTypes("vnni", "x86 processors with VNNI"),
    IntegerTypes("avx2", "x86 processors without VNNI", has_reduced_weights=True),
    IntegerTypes("arm", "Arm processors", is_signed=True),
    IntegerTypes("tensorrt", "TensorRT", is_signed=True, is_symmetric=True),
)
TARGETS: Mapping[TargetName, IntegerTypes] = MappingProxyType({each.name: each for each in _ALL})


def this_cpu() -> TargetName:
    """Return the target of the processor that this process runs on.

    Where its features cannot be read, it counts as one without VNNI: those files run anywhere.
    """
    if platform.machine().lower() in _ARM:
        return "arm"
    try:
        lines = _CPUINFO.read_text().splitlines()
    except OSError:
        return "avx2"
    features = {word for line in lines if line.startswith("flags") for word in line.split()}
    return "vnni" if features & {"avx512_vnni", "avx_vnni"} else "avx2"


def find_types(target: TargetName | None) -> IntegerTypes:
    """Return the types for a target; None: this machine's processor."""
    return TARGETS[target or this_cpu()]
