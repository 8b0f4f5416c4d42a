"""Int8 files of exported networks: written by ONNX Runtime, kept only where they are faster.

`quantize` searches for a file that keeps its promise, `write_int8` writes one without a search.
Both take an ONNX file and samples; neither needs a `Program`.
"""

from secateur.engine.quantize.judging import Judge, Quality, Run, agreement_judge
from secateur.engine.quantize.options import QuantizeOptions
from secateur.engine.quantize.result import FloatLayer, Quantized, Trial
from secateur.engine.quantize.search import quantize
from secateur.engine.quantize.targets import TARGETS, IntegerTypes, TargetName, find_types, this_cpu
from secateur.engine.quantize.trials import Int8Trials
from secateur.engine.quantize.writing import write_int8

__all__ = [
    "TARGETS",
    "FloatLayer",
    "Int8Trials",
    "IntegerTypes",
    "Judge",
    "Quality",
    "QuantizeOptions",
    "Quantized",
    "Run",
    "TargetName",
    "Trial",
    "agreement_judge",
    "find_types",
    "quantize",
    "this_cpu",
    "write_int8",
]
