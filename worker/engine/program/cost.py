"""What computing a network once would take, from shapes alone: asked before anything is allocated.

Upper bounds, by arithmetic on meta tensors. `macs` counts what users are told; here an element that
any other operator computes counts as well, and pooling counts its windows, so that no operator is a
way around the limit.
"""

from math import prod
from typing import Any

from torch import Tensor, fx

from worker.engine.errors import ModelTooLargeError
from worker.engine.program.functional import op_name
from worker.engine.program.limits import ModelLimits
from worker.engine.program.macs import mac_terms, num_macs
from worker.engine.program.program import Program
from worker.engine.program.shapes import Shapes, where

_BATCH_SIZE = 2
_POOLS = ("max_pool", "avg_pool")


def check_cost(program: Program, shapes: Shapes, limits: ModelLimits) -> None:
    """Refuse a network that takes too much memory or work.

    Args:
        program: The network.
        shapes: Of its values, for two samples.
        limits: What it may take.

    Raises:
        ModelTooLargeError: Value, limit and, where there is one, the call are named.
    """
    for node, value in shapes.items():
        rank = max((tensor.dim() for tensor in _tensors(value)), default=0)
        if rank > limits.tensor_rank:
            raise ModelTooLargeError(
                f"{where(node)} makes a value of rank {rank}, at most {limits.tensor_rank}"
            )
    num_bytes, node = peak_bytes(program, shapes)
    if num_bytes > limits.activation_bytes:
        raise ModelTooLargeError(
            f"the network needs {num_bytes} bytes for its values at {where(node)}, two samples at "
            f"a time; at most {limits.activation_bytes}"
        )
    work = num_operations(program, shapes)
    if work > limits.macs:
        raise ModelTooLargeError(
            f"the network needs {work} multiply-accumulates for one sample, at most {limits.macs}"
        )


def peak_bytes(program: Program, shapes: Shapes) -> tuple[int, fx.Node]:
    """Return the most bytes that are alive at once, and the call at which they are."""
    last_use = {used: node for node in program.graph.nodes for used in node.all_input_nodes}
    sizes = {node: sum(map(_num_bytes, _tensors(value))) for node, value in shapes.items()}
    alive = most = 0
    worst = next(iter(program.graph.nodes))
    for node in program.graph.nodes:
        if node.op in {"placeholder", "call_function"}:
            alive += sizes[node]
        if alive > most:
            most, worst = alive, node
        done = [used for used in node.all_input_nodes if last_use[used] is node]
        if node not in last_use and node.op == "call_function":
            done.append(node)  # computed for nothing
        alive -= sum(sizes[used] for used in done if used.op != "get_attr")
    return most, worst


def num_operations(program: Program, shapes: Shapes) -> int:
    """Return multiply-accumulates and other elements computed for one sample."""
    total = sum(num_macs(term, shapes) for term in mac_terms(program, shapes))
    for node in program.graph.nodes:
        if node.op == "call_function":
            total += _window(node) * sum(tensor.numel() for tensor in _tensors(shapes[node]))
    return total // _BATCH_SIZE


def _window(node: fx.Node) -> int:
    """Return how many elements a pooling operator looks at for each that it makes."""
    if not op_name(node.target).startswith(_POOLS):
        return 1
    sizes: Any = node.args[1] if len(node.args) > 1 else node.kwargs.get("kernel_size", 1)
    rank = int(op_name(node.target).partition("_pool")[2][0])
    found = list(sizes) if isinstance(sizes, (list, tuple)) else [sizes]
    found = [size for size in found if isinstance(size, int)] or [1]
    return prod(found) if len(found) > 1 else int(found[0] ** rank)


def _tensors(value: Any) -> list[Tensor]:  # noqa: ANN401  # a tensor, a number, or a list of them
    found = value if isinstance(value, (list, tuple)) else [value]
    return [tensor for tensor in found if isinstance(tensor, Tensor)]


def _num_bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.dtype.itemsize
