"""Recipes: which operators of a network become integer.

An operator between two integer ones has to be integer too, or its input is converted to float and
back. One whose integer kernel is slow costs more than the conversions. Which of the two is worse
depends on the network, so the recipes are measured.
"""

from dataclasses import dataclass

# With stored weights; the rest follows them.
WEIGHTED = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True)
class Recipe:
    """Operators that become integer.

    Attributes:
        name: Name in reports.
        op_types: ONNX operators; empty: all that ONNX Runtime can compute in integers.
    """

    name: str
    op_types: tuple[str, ...]


_LAYERS = (*WEIGHTED, "Relu", "Clip", "MaxPool")
RECIPES = (
    Recipe("layers", _LAYERS),
    Recipe("layers_and_sums", (*_LAYERS, "Add", "Concat", "AveragePool", "GlobalAveragePool")),
    Recipe("all", ()),
)
