"""Names of the export targets, and the packages that each of them needs.

The records are in `secateur/engine/export/targets/`; tests/unit/test_surface.py compares the lists.
This module imports none of the packages. A target's extra has the target's name.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

from app.contracts.installation import find_missing

TargetName = Literal[
    "onnx", "openvino", "ncnn", "executorch", "litert", "tensorrt", "rknn", "hailo", "coreml"
]
TARGET_MODULES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "openvino": ("openvino",),
        "ncnn": ("ncnn", "pnnx"),
        "executorch": ("executorch",),
        "litert": ("litert_torch", "ai_edge_litert"),
    }
)
STARTS_PROGRAM = frozenset({"ncnn"})  # pnnx converts for ncnn
READS_PT2 = frozenset({"coreml"})
OLDEST_OPSET, NEWEST_OPSET = 11, 23


def installed_targets() -> tuple[TargetName, ...]:
    """Return the targets whose packages are installed here."""
    return tuple(
        name for name in get_args(TargetName) if not find_missing(TARGET_MODULES.get(name, ()))
    )
