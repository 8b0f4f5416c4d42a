"""Origins and uses of values: what each is computed from, and whether it reaches an output.

Used by `meaning`, which decides whether a channel has a fixed meaning.
"""

from enum import IntFlag
from typing import Any

from torch import Tensor, fx

from secateur.engine.program.functional import op_name
from secateur.engine.program.program import Program, Role
from secateur.engine.program.shapes import Shapes

CONTRACTIONS = frozenset(
    """conv1d conv2d conv3d convolution conv_transpose1d conv_transpose2d conv_transpose3d linear
    matmul mm bmm mv dot addmm baddbmm addmv einsum bilinear lstm gru rnn_tanh rnn_relu
    deform_conv2d scaled_dot_product_attention
    """.split()
)
_BIASED = frozenset({"addmm", "baddbmm", "addmv"})  # the first argument is the bias
# Operators that read only the shape of their argument.
SHAPES_ONLY = frozenset(
    """zeros_like ones_like full_like empty_like rand_like randn_like new_zeros new_ones new_full
    new_empty sym_size
    """.split()
)
LIKE_SECOND = frozenset("view_as reshape_as expand_as type_as".split())


class Origin(IntFlag):
    """Source of a value; computed from buffers and constants alone, it is a constant."""

    CONSTANT = 0
    PARAMETER = 1
    INPUT = 2


def find_origins(program: Program, shapes: Shapes) -> dict[fx.Node, Origin]:
    """Return the origin of every value."""
    found: dict[fx.Node, Origin] = {}
    for node in program.graph.nodes:
        origin = Origin.CONSTANT
        if node.op == "placeholder":
            origin = Origin.INPUT
        elif node.op == "get_attr":
            is_trained = program.roles[str(node.target)] is Role.PARAMETER
            origin = Origin.PARAMETER if is_trained else Origin.CONSTANT
        elif node.op == "call_function" and op_name(node.target) not in SHAPES_ONLY:
            for used in _inputs_read(node):
                if isinstance(shapes.get(used), (Tensor, list, tuple)):
                    origin |= found[used]
        found[node] = origin
    # A value computed from activations and weights is an activation.
    return {n: Origin.INPUT if o & Origin.INPUT else o for n, o in found.items()}


def find_exposed(
    program: Program, shapes: Shapes, origin: dict[fx.Node, Origin]
) -> dict[fx.Node, bool]:
    """Return whether each value reaches an output without trained weights in between."""
    found: dict[fx.Node, bool] = {}
    for node in reversed(program.graph.nodes):
        found[node] = node.op == "output" or any(
            found[user]
            and node in _inputs_read(user)
            and not _is_learned(user, node, shapes, origin)
            for user in node.users
        )
    return found


def _inputs_read(node: fx.Node) -> list[fx.Node]:
    """Return the inputs whose values a call reads, not only their shape."""
    name = op_name(node.target)
    if name in SHAPES_ONLY:
        return []
    return node.all_input_nodes[:1] if name in LIKE_SECOND else node.all_input_nodes


def _is_learned(
    node: fx.Node, value: fx.Node, shapes: Shapes, origin: dict[fx.Node, Origin]
) -> bool:
    """Return whether a call contracts ``value`` with weights, or ``value`` is the weight."""
    name = op_name(node.target)
    if node.op != "call_function" or name not in CONTRACTIONS:
        return False
    operands = list(node.args[1:3] if name in _BIASED else node.args[:2])
    if name == "einsum":
        operands = list(node.args[1])  # type: ignore[arg-type]
    elif name.startswith(("lstm", "gru", "rnn", "bilinear")):
        operands = list(node.all_input_nodes)
    if value not in operands:
        return False
    if name.startswith("conv") and _is_depthwise(node, shapes):
        return False
    others = [o for o in operands if isinstance(o, fx.Node) and o is not value]
    return any(origin[o] is Origin.PARAMETER for o in [value, *others])


def _is_depthwise(node: fx.Node, shapes: Shapes) -> bool:
    """Return whether a convolution has several channels and one group for each."""
    weight: Any = node.args[1]
    shape = tuple(shapes[weight].shape) if isinstance(weight, fx.Node) else ()
    if len(shape) < 2 or shape[1] != 1:  # noqa: PLR2004  # output and input channels
        return False
    return bool(shapes[node.args[0]].shape[1] > 1)  # type: ignore[index]
