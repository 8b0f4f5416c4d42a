"""Faults of the user's own program that its graph shows, each with what to do about it.

The reader asks last: the graph is well-formed, and yet nobody wants what it computes.
"""

from typing import Any

import torch
from torch import Tensor, fx

from secateur.engine.errors import ModelRejectedError
from secateur.engine.program.functional import op_name
from secateur.engine.program.program import Program, Role
from secateur.engine.program.shapes import Shapes, where

_EVAL = "Call net.eval() and export it again"
_DROPOUT = (
    f"{_EVAL}; in forward, write nn.Dropout or F.dropout(x, p, self.training), since F.dropout(x, "
    "p) alone is always active"
)
# Where each operator that draws in training says that it trains, and how much it drops.
_DROPOUTS = {
    **dict.fromkeys(
        ["dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout", "native_dropout"],
        ((2, "train"), (1, "p")),
    ),
    **dict.fromkeys(["lstm", "gru", "rnn_tanh", "rnn_relu"], ((6, "train"), (5, "dropout"))),
    "rrelu": ((3, "training"), (2, "upper")),
}
_STATISTICS = {3: "running_mean", 4: "running_var"}


def check_faults(program: Program, shapes: Shapes) -> None:
    """Refuse a program with a fault that its author can mend.

    Raises:
        ModelRejectedError: It was exported in training mode, draws random numbers, returns what is
            no tensor, or has weights that are not finite. The line and the cure are named.
    """
    for node in program.graph.nodes:
        if node.op == "call_function":
            _check_call(node)
    for number, output in enumerate(program.graph.output_node().args[0]):  # type: ignore[arg-type]
        _check_output(number, output, shapes)
    _check_finite(program)


def _check_call(node: fx.Node) -> None:
    name = op_name(node.target)
    if name == "batch_norm" and _argument(node, 3, "running_mean") is not None:
        if _argument(node, 5, "training"):
            raise ModelRejectedError(
                f"{where(node)} is in training mode: BatchNorm would normalise by each batch's own "
                f"statistics. {_EVAL}"
            )
    elif name in _DROPOUTS and _draws(node, *_DROPOUTS[name]):
        raise ModelRejectedError(f"{where(node)} is active: it draws random numbers. {_DROPOUT}")
    elif name == "scaled_dot_product_attention" and _argument(node, 4, "dropout_p"):
        raise ModelRejectedError(
            f"{where(node)} has active dropout: it draws random numbers. {_EVAL}; in forward, pass "
            "dropout_p=p if self.training else 0.0"
        )


def _draws(node: fx.Node, trains: tuple[int, str], drops: tuple[int, str]) -> bool:
    return bool(_argument(node, *trains)) and _argument(node, *drops) != 0


def _argument(node: fx.Node, index: int, name: str) -> Any:  # noqa: ANN401  # any literal
    return node.args[index] if len(node.args) > index else node.kwargs.get(name)


def _check_output(number: int, output: Any, shapes: Shapes) -> None:  # noqa: ANN401  # any literal
    value = shapes[output] if isinstance(output, fx.Node) else output
    if value is None or isinstance(value, Tensor):
        return
    what = "a size" if isinstance(output, fx.Node) else repr(value)[:60]
    raise ModelRejectedError(
        f"output {number} is {what}, not a tensor: have forward return tensors alone, and export "
        "it again"
    )


def _check_finite(program: Program) -> None:
    """Refuse weights and statistics that are not finite; a constant, such as a mask, may be."""
    computed_with = {name for name, role in program.roles.items() if role is Role.PARAMETER}
    for node in program.graph.nodes:
        if node.op == "call_function" and op_name(node.target) == "batch_norm":
            used = [_argument(node, index, name) for index, name in _STATISTICS.items()]
            computed_with |= {str(n.target) for n in used if isinstance(n, fx.Node)}
    for name in sorted(computed_with & program.tensors.keys()):
        tensor = program.tensors[name]
        if tensor.is_meta or not tensor.is_floating_point():
            continue
        if not bool(torch.isfinite(tensor).all()):
            raise ModelRejectedError(
                f"the tensor {name!r} has values that are NaN or infinite: the checkpoint is broken"
            )
