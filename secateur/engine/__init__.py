"""PyTorch library that prunes exported networks, independent of the service.

`__all__` is the public surface: programs, channel groups, saliency, selection, plans, surgery,
repair, retraining and cost. `secateur.prune` runs all steps in one call. These names are stable;
the modules below may change between releases. Names are imported on first use, because some
modules, such as ``errors``, are also used without torch.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from secateur.engine.errors import EngineError
    from secateur.engine.export.onnx import export_onnx
    from secateur.engine.graph import Analysis, analyse
    from secateur.engine.graph.cost import CostModel
    from secateur.engine.measure import compare_latency, count_macs, count_parameters
    from secateur.engine.metrics import evaluate
    from secateur.engine.onnx_in.reader import read_onnx
    from secateur.engine.plan import Plan, make_plan
    from secateur.engine.program.exported import from_exported, from_module
    from secateur.engine.program.module import ProgramModule
    from secateur.engine.program.program import Program
    from secateur.engine.program.reader import read_program
    from secateur.engine.program.writer import write_program
    from secateur.engine.repair import RepairOptions, repair_program
    from secateur.engine.retrain.batch_norm import recalibrate
    from secateur.engine.retrain.data import TrainingData
    from secateur.engine.retrain.loop import retrain_program
    from secateur.engine.retrain.options import RetrainOptions
    from secateur.engine.saliency import CRITERIA, CalibrationBatch, SaliencyOptions
    from secateur.engine.selection import Budget, Ratio, SelectionOptions, Steepness, cut, select
    from secateur.engine.surgery import Certificate, certify, compact, mask_program

# Before ONNX Runtime is imported: it would store a device id in the home directory and report uses.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # noqa: TID251  # not a setting of ours

_HOMES = {
    "errors": ("EngineError",),
    "export.onnx": ("export_onnx",),
    "graph": (
        "Analysis",
        "Family",
        "analyse",
    ),
    "graph.cost": ("CostModel",),
    "measure": (
        "compare_latency",
        "count_macs",
        "count_parameters",
    ),
    "onnx_in.reader": ("read_onnx",),
    "plan": (
        "Plan",
        "make_plan",
    ),
    "program.exported": (
        "from_exported",
        "from_module",
    ),
    "program.module": ("ProgramModule",),
    "program.program": ("Program",),
    "program.reader": ("read_program",),
    "program.writer": ("write_program",),
    "repair": (
        "RepairOptions",
        "repair_program",
    ),
    "retrain.batch_norm": ("recalibrate",),
    "retrain.data": ("TrainingData",),
    "metrics": ("evaluate",),
    "retrain.loop": ("retrain_program",),
    "retrain.options": ("RetrainOptions",),
    "saliency": (
        "CRITERIA",
        "CalibrationBatch",
        "SaliencyOptions",
    ),
    "selection": (
        "Budget",
        "Ratio",
        "SelectionOptions",
        "Steepness",
        "cut",
        "select",
    ),
    "surgery": (
        "Certificate",
        "certify",
        "compact",
        "mask_program",
    ),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "CRITERIA",
    "Analysis",
    "Budget",
    "CalibrationBatch",
    "Certificate",
    "CostModel",
    "EngineError",
    "Plan",
    "Program",
    "ProgramModule",
    "Ratio",
    "RepairOptions",
    "RetrainOptions",
    "SaliencyOptions",
    "SelectionOptions",
    "Steepness",
    "TrainingData",
    "analyse",
    "certify",
    "compact",
    "compare_latency",
    "count_macs",
    "count_parameters",
    "cut",
    "evaluate",
    "export_onnx",
    "from_exported",
    "from_module",
    "make_plan",
    "mask_program",
    "read_onnx",
    "read_program",
    "recalibrate",
    "repair_program",
    "retrain_program",
    "select",
    "write_program",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401  # a module's attributes
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
