"""Nodes whose inputs are all known, computed with the reference implementation of `onnx`.

Weights stay in the network under their names, whatever is done to them before they are used. Only
operators whose results are about as large as their inputs, or whose sizes are checked first, are
computed here. Sizes that include the batch are arrays of objects, for which the reference
implementation does not work; the few operators on them are below.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from onnx import NodeProto
from onnx.reference import ReferenceEvaluator

from secateur.engine.onnx_in.call import Call, is_real

_BY_INPUT = frozenset(
    """Identity Cast Reshape Squeeze Unsqueeze Transpose Slice Split Flatten Shape Size Sqrt
    Exp Log Abs Neg Reciprocal Floor Ceil Round Sign Not ReduceProd ReduceSum ReduceMax ReduceMin
    ReduceMean NonZero CumSum Clip Sin Cos Erf Tanh Sigmoid""".split()
)
_BY_BROADCAST = frozenset(
    """Add Sub Mul Div Pow Mod Min Max Equal Greater GreaterOrEqual Less LessOrEqual And Or Xor
    Where""".split()
)
_MOST_DIMENSIONS = 8
_MOST_GROWTH = 2**24  # elements that a node may make


def fold(call: Call, proto: NodeProto) -> list[np.ndarray] | None:
    """Return the results of a node, or None if it has to be part of the network."""
    arrays = [value for value in call.values if value is not None]
    if not all(isinstance(value, np.ndarray) for value in arrays):
        return None
    known: list[np.ndarray] = list(arrays)  # type: ignore[arg-type]  # all are arrays
    if any(array.dtype == object for array in known):
        function = _ON_SIZES.get(call.node.operator)
        return None if function is None else [_narrow(function(call))]
    if any(map(_is_weight, known)) or not _is_small(call, known):
        return None
    evaluator = ReferenceEvaluator(_alone(proto, call))
    names = [name for name in proto.input if name]
    feeds = dict(zip(names, known, strict=True))
    with np.errstate(all="ignore"):
        return [np.asarray(found) for found in evaluator.run(None, feeds)]


def _is_weight(array: np.ndarray) -> bool:
    """Return whether an array is not a list of sizes or scales, which has a number a dimension."""
    is_list = array.ndim < 2 and array.size <= _MOST_DIMENSIONS  # noqa: PLR2004  # a vector
    return is_real(array) and array.size > 1 and not is_list


def _alone(proto: NodeProto, call: Call) -> Any:  # noqa: ANN401  # a model
    """Return a model with this node only."""
    from onnx import TensorProto, helper  # noqa: PLC0415  # with the evaluator

    names = dict.fromkeys(name for name in proto.input if name)
    inputs = [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in names]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None)
        for name in call.node.outputs
        if name
    ]
    graph = helper.make_graph([proto], "node", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", call.opset)])


def _is_small(call: Call, known: Sequence[np.ndarray]) -> bool:
    """Return whether the operator is known, and its result not too large."""
    if call.node.operator in _BY_INPUT:
        return True
    try:
        size = _result_size(call, known)
    except ValueError:  # shapes that do not broadcast
        return False
    return size is not None and size <= max(_MOST_GROWTH, *(array.size for array in known))


def _result_size(call: Call, known: Sequence[np.ndarray]) -> int | None:
    """Return how many elements an operator makes, or None if it is not computed here."""
    if call.node.operator in _BY_BROADCAST:
        return prod(np.broadcast_shapes(*(array.shape for array in known)))
    size = _SIZES.get(call.node.operator)
    return None if size is None else size(call, known)


def _gathered(_call: Call, known: Sequence[np.ndarray]) -> int:
    row = known[0].size // max(1, min(known[0].shape, default=1))
    return int(known[1].size * max(1, row))


def _range(call: Call, _known: Sequence[np.ndarray]) -> int | None:
    start, limit, delta = (float(call.number(index)) for index in range(3))
    return int((limit - start) / delta) if delta else None


_SIZES: dict[str, Callable[[Call, Sequence[np.ndarray]], int | None]] = {
    "Concat": lambda _call, known: sum(array.size for array in known),
    "Gather": _gathered,
    "ConstantOfShape": lambda call, _known: int(prod(call.numbers(0))),
    "Expand": lambda call, known: prod(np.broadcast_shapes(known[0].shape, call.numbers(1))),
    "Tile": lambda call, known: int(known[0].size * prod(call.numbers(1))),
    "Range": _range,
}


def _narrow(found: np.ndarray) -> np.ndarray:
    """Return an array of numbers if no batch size is left in it."""
    if found.dtype == object and all(isinstance(each, (int, np.integer)) for each in found.flat):
        return found.astype(np.int64)
    return found


def _objects(call: Call, index: int) -> np.ndarray:
    array = call.known(index)
    return array if array.dtype == object else array.astype(object)


def _pairwise(function: Callable[[Any, Any], Any]) -> Callable[[Call], np.ndarray]:
    return lambda call: np.asarray(
        np.frompyfunc(function, 2, 1)(_objects(call, 0), _objects(call, 1)), dtype=object
    )


def _slice(call: Call) -> np.ndarray:
    starts, ends = call.listed("starts", 1) or [0], call.listed("ends", 2) or [0]
    step = call.numbers(4)[0] if call.has(4) else 1
    return _objects(call, 0)[starts[0] : ends[0] : step]


def _gather(call: Call) -> np.ndarray:
    return np.asarray(_objects(call, 0).take(call.known(1).astype(np.int64)), dtype=object)


def _concat(call: Call) -> np.ndarray:
    parts = [_objects(call, index).reshape(-1) for index in range(len(call.values))]
    return np.concatenate(parts)


def _where(call: Call) -> np.ndarray:
    chosen, a, b = _objects(call, 0), _objects(call, 1), _objects(call, 2)
    return np.asarray(
        np.frompyfunc(lambda c, x, y: x if bool(c) else y, 3, 1)(chosen, a, b), dtype=object
    )


_ON_SIZES: dict[str, Callable[[Call], np.ndarray]] = {
    "Add": _pairwise(lambda a, b: a + b),
    "Sub": _pairwise(lambda a, b: a - b),
    "Mul": _pairwise(lambda a, b: a * b),
    "Div": _pairwise(lambda a, b: a // b),
    "Equal": _pairwise(lambda a, b: bool(a == b)),
    "Where": _where,
    "Gather": _gather,
    "Slice": _slice,
    "Concat": _concat,
    "Shape": lambda call: np.array(call.known(0).shape, dtype=np.int64),
    "Size": lambda call: np.array(call.known(0).size, dtype=np.int64),
    "Cast": lambda call: _objects(call, 0),
    "Identity": lambda call: _objects(call, 0),
    "Unsqueeze": lambda call: _objects(call, 0).reshape(-1),
    "Squeeze": lambda call: _objects(call, 0).reshape(()),
    "Reshape": lambda call: _objects(call, 0).reshape(call.numbers(1)),
    "ReduceProd": lambda call: np.asarray(np.prod(_objects(call, 0)), dtype=object).reshape(
        (1,) if call.attribute("keepdims", 1) else ()
    ),
}
