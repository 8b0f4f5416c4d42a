"""Shape propagation: run a program on meta tensors, without memory, and keep every value.

Called by the reader (to type-check the graph), the dependency analysis, the MAC counter and
compaction (to check the shapes of the smaller program).
"""

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx

from secateur.engine.errors import ModelRejectedError, ModelTooLargeError, UnsupportedOpError
from secateur.engine.program.known_shapes import known_shape
from secateur.engine.program.module import resolve
from secateur.engine.program.program import InputSpec, Program

Shapes = dict[fx.Node, Any]

_aten = torch.ops.aten
_SPLITS = (_aten.split, _aten.unbind, _aten.chunk, _aten.tensor_split)
_RECURRENT = (_aten.lstm, _aten.gru, _aten.rnn_tanh, _aten.rnn_relu)
# Batch size of shapes, costs and example inputs; torch.export takes a batch of 1 for a constant.
ANALYSIS_BATCH = 2
MAX_PARTS = 10_000  # parts that one call can split a value into; each is a Python object
# Raised by torch's operators and by their reference implementations, which use assert.
_REFUSALS = (RuntimeError, ArithmeticError, AssertionError, LookupError, TypeError, ValueError)
_MAX_NUMBER = 2**63 - 1


def num_analysed(program: Program) -> int:
    """Return the number of samples in the shapes that `propagate` returns by default."""
    return program.batch_size or ANALYSIS_BATCH


def propagate(program: Program, batch_size: int = ANALYSIS_BATCH) -> Shapes:
    """Return a meta tensor, a number or a list of them for every node.

    A batch that stays fixed has its own size in place of ``batch_size``.

    Raises:
        ModelRejectedError: An operator refuses its arguments; the message names the operator and
            the source line.
        UnsupportedOpError: An operator's shape depends on data.
        ModelTooLargeError: A call makes too many parts, steps, or too large a number.
    """
    return values_on_meta(program.graph, program.tensors, program.inputs, batch_size)


def values_on_meta(
    graph: fx.Graph,
    tensors: Mapping[str, Tensor],
    inputs: tuple[InputSpec, ...],
    batch_size: int = 2,
    *,
    shortcuts: bool = True,
) -> Shapes:
    """Return a meta tensor, a number or a list of them for every node of a graph.

    Args:
        graph: Graph to run; it may contain in-place operators.
        tensors: Stored tensors, by name.
        inputs: Specs of the inputs.
        batch_size: Batch size of every input.
        shortcuts: Whether to use `known_shape` where possible. Nodes may then share one tensor, so
            storage does not show which values share memory.

    Raises:
        ModelRejectedError: An operator refuses its arguments.
        UnsupportedOpError: An operator's shape depends on data.
        ModelTooLargeError: A call makes too many parts, steps, or too large a number.
    """
    values: Shapes = {}
    specs = iter(inputs)
    for node in graph.nodes:
        if node.op == "placeholder":
            spec = next(specs)
            shape = [batch_size if size is None else size for size in spec.shape]
            values[node] = torch.empty(shape, dtype=spec.dtype, device="meta")
        elif node.op == "get_attr":
            tensor = tensors[str(node.target)]
            values[node] = torch.empty_like(tensor, device="meta", requires_grad=False)
        elif node.op == "output":
            values[node] = resolve(node.args[0], values)
        else:
            values[node] = call_on_meta(node, values, shortcuts=shortcuts)
    return values


def where(node: fx.Node) -> str:
    """Return a node's operator and, if known, the user's source line, for messages."""
    source = node.meta.get("source")
    return f"{node.target} ({source})" if source else str(node.target)


def call_on_meta(node: fx.Node, values: Shapes, *, shortcuts: bool = False) -> Any:  # noqa: ANN401  # any result
    """Return the result of one call, given the values of the nodes before it.

    Raises:
        ModelRejectedError: The operator refuses its arguments.
        UnsupportedOpError: Its shape depends on data.
        ModelTooLargeError: It makes too many parts, steps, or too large a number.
    """
    args = [_on_meta(value) for value in resolve(node.args, values)]
    kwargs = {name: _on_meta(resolve(v, values)) for name, v in node.kwargs.items()}
    known = known_shape(node.target, args, kwargs) if shortcuts else None
    if known is not None:
        return known
    if isinstance(node.target, torch._ops.OpOverload):  # noqa: SLF001  # torch has no public name
        _check_num_parts(node, args)
        _keep_on_meta(node.target, args, kwargs)
    else:
        _check_numbers(node, args)
    try:
        with torch.no_grad():
            value = node.target(*args, **kwargs)  # type: ignore[operator]
    except NotImplementedError as error:
        raise UnsupportedOpError(
            f"{where(node)} is not accepted: torch cannot infer its shape without running it"
        ) from error
    except _REFUSALS as error:
        reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        raise ModelRejectedError(
            f"{where(node)} does not accept its arguments: {reason}"
        ) from error
    if isinstance(value, int) and abs(value) > _MAX_NUMBER:
        raise ModelTooLargeError(f"{where(node)} makes a number past {_MAX_NUMBER}")
    return value


def _on_meta(value: Any) -> Any:  # noqa: ANN401  # any literal
    return torch.device("meta") if isinstance(value, torch.device) else value


def _keep_on_meta(target: torch._ops.OpOverload, args: list[Any], kwargs: dict[str, Any]) -> None:
    """Make operators without tensor arguments, such as ``arange``, return meta tensors."""
    has_tensor = any(isinstance(value, Tensor) for value in [*args, *kwargs.values()])
    names = [argument.name for argument in target._schema.arguments]  # noqa: SLF001
    if not has_tensor and "device" in names[len(args) :]:
        kwargs["device"] = torch.device("meta")


def _check_num_parts(node: fx.Node, args: list[Any]) -> None:
    """Refuse a call that returns so many parts that their tensor objects exhaust memory."""
    packet = getattr(node.target, "overloadpacket", None)
    if packet in _RECURRENT:
        _check_num_steps(node, args)
    if packet not in _SPLITS:
        _check_list(node, args)
        return
    if not args or not isinstance(args[0], Tensor):
        return
    amount = args[1] if len(args) > 1 and isinstance(args[1], int) else 0
    if packet in {_aten.chunk, _aten.tensor_split}:
        num_parts = amount
    elif packet is _aten.split:
        num_parts = max(args[0].shape, default=0) // amount if amount > 0 else 0
    else:
        num_parts = args[0].shape[amount] if -args[0].dim() <= amount < args[0].dim() else 0
    if num_parts > MAX_PARTS:
        raise ModelTooLargeError(f"{where(node)} makes {num_parts} parts, at most {MAX_PARTS}")


def _check_list(node: fx.Node, args: list[Any]) -> None:
    """Refuse other operators that return lists, if their arguments allow too many parts."""
    returns = node.target._schema.returns  # type: ignore[union-attr]  # noqa: SLF001
    is_list = any(str(value.type) == "List[Tensor]" for value in returns)
    if not is_list or any(isinstance(value, (list, tuple)) for value in args):
        return  # no more parts than the file lists
    sizes = [size for value in args if isinstance(value, Tensor) for size in value.shape]
    max_parts = max([*sizes, *(value for value in args if isinstance(value, int))], default=0)
    if max_parts > MAX_PARTS:
        raise ModelTooLargeError(f"{where(node)} may make {max_parts} parts, at most {MAX_PARTS}")


def _check_num_steps(node: fx.Node, args: list[Any]) -> None:
    """Refuse long sequences: recurrent operators take time per step even on meta tensors."""
    steps = max(args[0].shape) if args and isinstance(args[0], Tensor) and args[0].dim() else 0
    if steps > MAX_PARTS:
        raise ModelTooLargeError(f"{where(node)} takes {steps} steps, at most {MAX_PARTS}")


def _check_numbers(node: fx.Node, args: list[Any]) -> None:
    """Refuse lists and strings as arguments of Python operators, which could make them huge.

    Raises:
        ModelRejectedError: An argument is neither a number nor a tensor.
    """
    accepted = (int, float, Tensor)
    if node.target is operator.getitem:
        is_fine = len(args) == 2 and isinstance(args[1], int)  # noqa: PLR2004  # value and index
    else:
        is_fine = all(isinstance(value, accepted) for value in args)
    if not is_fine:
        raise ModelRejectedError(f"{where(node)} does not accept its arguments: not numbers")
