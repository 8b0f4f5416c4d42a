"""Mistakes in the user's model that its graph reveals, each refused with a fix.

The reader checks them last, on well-formed graphs: training mode, active dropout, outputs that are
not tensors, weights that are not finite.
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
# Operators that draw random numbers in training: position and name of the training flag and of the
# probability.
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
    """Refuse a program with a mistake that its author can fix.

    Raises:
        ModelRejectedError: The program was exported in training mode, draws random numbers, returns
            something other than tensors, or has weights that are not finite. The message names the
            line and the fix.
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
    elif name in _DROPOUTS and _is_random(node, *_DROPOUTS[name]):
        raise ModelRejectedError(f"{where(node)} is active: it draws random numbers. {_DROPOUT}")
    elif name == "scaled_dot_product_attention" and _argument(node, 4, "dropout_p"):
        raise ModelRejectedError(
            f"{where(node)} has active dropout: it draws random numbers. {_EVAL}; in forward, pass "
            "dropout_p=p if self.training else 0.0"
        )


def _is_random(node: fx.Node, training: tuple[int, str], probability: tuple[int, str]) -> bool:
    return bool(_argument(node, *training)) and _argument(node, *probability) != 0


def _argument(node: fx.Node, index: int, name: str) -> Any:  # noqa: ANN401  # any literal
    return node.args[index] if len(node.args) > index else node.kwargs.get(name)


def _check_output(number: int, output: Any, shapes: Shapes) -> None:  # noqa: ANN401  # any literal
    value = shapes[output] if isinstance(output, fx.Node) else output
    if value is None or isinstance(value, Tensor):
        return
    what = "a size" if isinstance(output, fx.Node) else repr(value)[:60]
    raise ModelRejectedError(
        f"output {number} is {what}, not a tensor: return only tensors from forward, and export it "
        "again"
    )


def _check_finite(program: Program) -> None:
    """Refuse weights and statistics that are not finite; constants may be infinite (masks)."""
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
