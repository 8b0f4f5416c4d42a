"""Whether the sizes inside a network follow from the file alone, so that one run shows them all.

A size may come from an input's values (``ConstantOfShape`` of a number that a client sends) or from
dimensions that clients choose, except the number of items. What such a network takes cannot be
measured when it is loaded; `app.serving.sessions` limits its memory instead. Networks are not
refused for it: an exporter writes ``x[mask] = 0`` with sizes that depend on ``mask``.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, ValueInfoProto

_ALL = range(2**31)
# Inputs whose values decide the shape of an output, from ONNX's specification of all operators. An
# operator that is not here, but should be, would escape the limit; a test compares the list with
# the operators of the installed version.
_SIZES: dict[str, range | tuple[int, ...]] = {
    "AffineGrid": (1,),
    "BlackmanWindow": (0,),
    "CenterCropPad": (1,),
    "Col2Im": (1, 2),
    "Compress": (1,),
    "ConstantOfShape": (0,),
    "DFT": (1, 2),
    "Expand": (1,),
    "HammingWindow": (0,),
    "HannWindow": (0,),
    "ImageDecoder": (0,),
    "MaxUnpool": (2,),
    "MelWeightMatrix": (0, 1),
    "NonMaxSuppression": _ALL,
    "NonZero": (0,),
    "OneHot": (1,),
    "OptionalGetElement": (0,),
    "Pad": (1, 3),
    "Range": _ALL,
    **dict.fromkeys(
        [
            f"Reduce{what}"
            for what in "L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare".split()
        ],
        (1,),
    ),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "STFT": (1, 3),
    "SequenceAt": (1,),
    "SequenceErase": (1,),
    "SequenceInsert": (2,),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "SplitToSequence": (1,),
    "Squeeze": (1,),
    "StringNormalizer": (0,),
    "StringSplit": (0,),
    "Tile": (1, 2),
    "TopK": (1,),
    "Unique": (0,),
    "Unsqueeze": (1,),
    "Upsample": (1,),
}
_RANDOM = frozenset(
    "Bernoulli Dropout Multinomial "
    "RandomNormal RandomNormalLike RandomUniform RandomUniformLike".split()
)
_SHAPES = frozenset({"Shape", "Size"})  # no value of their input reaches their output


def is_foreseen(graph: "GraphProto") -> bool:
    """Return whether all sizes of a run follow from the file and the number of items."""
    from onnx import defs  # noqa: PLC0415  # slow, and few need it

    known = {"", *(tensor.name for tensor in graph.initializer)}
    inputs = [value for value in graph.input if value.name not in known]
    if not _are_measurable(inputs, graph.output):
        return False
    varying = {value.name for value in inputs}  # tensors with values that are not in the file
    known |= varying
    for node in graph.node:
        is_read = known.issuperset(node.input)  # else the nodes are in no order of computation
        if not is_read or not defs.has(node.op_type) or _has_varying_size(node, varying):
            return False
        depends = node.op_type not in _SHAPES and not varying.isdisjoint(node.input)
        if depends or node.op_type in _RANDOM:
            varying.update(node.output)
        known.update(node.output)
    return True


def _are_measurable(
    inputs: "Sequence[ValueInfoProto]", outputs: "Sequence[ValueInfoProto]"
) -> bool:
    """Return whether clients choose nothing but one number of items, the same everywhere."""
    shapes = [value.type.tensor_type.shape.dim for value in inputs]
    if not all(dim.HasField("dim_value") for shape in shapes for dim in shape[1:]):
        return False
    shapes += [value.type.tensor_type.shape.dim for value in outputs]
    firsts = {shape[0].dim_param or shape[0].dim_value if shape else 1 for shape in shapes}
    is_fixed = all(isinstance(first, int) and first for first in firsts)
    return is_fixed or (len(firsts) == 1 and all(firsts))


def _has_varying_size(node: "NodeProto", varying: set[str]) -> bool:
    places = _SIZES.get(node.op_type, ())
    return any(name in varying for place, name in enumerate(node.input) if place in places)
