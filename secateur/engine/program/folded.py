"""Convolutions whose BatchNorm an exporter has folded into them, as far as a graph can tell.

`onnx_in` tells users about them, and retraining puts a BatchNorm back (`retrain.unfolding`).
"""

from collections import Counter
from math import prod

from torch import Tensor, fx

from secateur.engine.program.program import Program, Role
from secateur.engine.program.shapes import propagate
from secateur.engine.program.vocabulary import op_name

_CONVOLUTIONS = frozenset({"conv1d", "conv2d", "conv3d"})
_NORMS = frozenset("batch_norm layer_norm group_norm instance_norm rms_norm".split())
_VIEWS = frozenset("view reshape flatten permute transpose squeeze unsqueeze".split())
_MANY = 5  # a network with as many had BatchNorm when it was trained
_BIAS = 2


def folded_convolutions(program: Program) -> list[fx.Node]:
    """Return the convolutions that probably had a BatchNorm, in order; none if they are few.

    Each has a bias, and more than one position in a channel (the gates of squeeze-and-excitation
    have one, and no BatchNorm). None is read by a normalisation, or is an output of the network.
    """
    reads = Counter(
        str(n.target) for n in program.graph.nodes if n.op == "get_attr" for _ in n.users
    )
    candidates = [node for node in program.graph.nodes if _is_candidate(program, node, reads)]
    if len(candidates) < _MANY:
        return []
    shapes = propagate(program)
    found = [node for node in candidates if _num_positions(shapes[node]) > 1]
    return found if len(found) >= _MANY else []


def _is_candidate(program: Program, node: fx.Node, reads: Counter[str]) -> bool:
    if node.op != "call_function" or op_name(node.target) not in _CONVOLUTIONS:
        return False
    tensors = [node.args[1], node.args[_BIAS] if len(node.args) > _BIAS else None]
    for each in tensors:
        if not isinstance(each, fx.Node) or each.op != "get_attr":
            return False
        name = str(each.target)
        if program.roles[name] is not Role.PARAMETER or reads[name] > 1:
            return False
    return not any(_ends_here(user) for user in node.users)


def _ends_here(user: fx.Node) -> bool:
    """Return whether a value is normalised, or returned, by one of its readers."""
    if user.op == "output" or op_name(user.target) in _NORMS:
        return True
    return op_name(user.target) in _VIEWS and any(_ends_here(each) for each in user.users)


def _num_positions(value: object) -> int:
    return prod(value.shape[2:]) if isinstance(value, Tensor) else 0
