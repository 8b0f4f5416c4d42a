"""Count integer operators in the graph that ONNX Runtime computes."""

import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import onnx

from secateur.engine.quantize.sessions import open_session

_INTEGER = frozenset({"QLinearConv", "QLinearMatMul", "QGemm", "MatMulIntegerToFloat"})
_FLOAT = frozenset(
    {"Conv", "FusedConv", "NhwcFusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"}
)
_CONVERSIONS = frozenset({"QuantizeLinear", "DequantizeLinear"})


@dataclass(frozen=True)
class Fusion:
    """Operators of an int8 file after ONNX Runtime's rewriting.

    Attributes:
        num_integer: Convolutions and matrix products in integers.
        num_float: Those in float.
        num_conversions: Conversions between integers and float that are left.
        between: Float operators next to a conversion, the most frequent first.
    """

    num_integer: int
    num_float: int
    num_conversions: int
    between: tuple[str, ...] = ()


def count_fused(path: Path) -> Fusion:
    """Return the operators that a file becomes on this machine.

    Raises:
        ExportError: ONNX Runtime cannot load the file.
    """
    with tempfile.TemporaryDirectory() as folder:
        optimised = Path(folder) / "optimised.onnx"
        open_session(path, optimised_path=optimised)
        graph = onnx.load(optimised).graph
    kinds = Counter(node.op_type for node in graph.node)
    conversions = [node for node in graph.node if node.op_type in _CONVERSIONS]
    ends = {name for node in conversions for name in (*node.input, *node.output)}
    beside = Counter(
        node.op_type
        for node in graph.node
        if node.op_type not in _CONVERSIONS | _INTEGER
        and not ends.isdisjoint((*node.input, *node.output))
    )
    return Fusion(
        sum(kinds[kind] for kind in _INTEGER),
        sum(kinds[kind] for kind in _FLOAT),
        len(conversions),
        tuple(kind for kind, _ in beside.most_common()),
    )
