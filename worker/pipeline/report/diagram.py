"""The network as a diagram: its layers, what joins their outputs, and which reads which.

Operators with one input, such as activations and normalisations, are left out; those that join
several, such as the sum of a residual block, stay.
"""

from typing import Any

from torch import Tensor, fx

from secateur.engine.graph import Analysis
from secateur.engine.program.functional import op_name
from secateur.engine.program.program import Program

_MOST_NODES = 2000
_MOST_READS = 8  # a dense block reads every layer before it: the nearest are enough for a picture


def diagram(program: Program, analysis: Analysis, layers: list[fx.Node]) -> list[dict[str, Any]]:
    """Return the nodes of the diagram in the network's order.

    Each has the positions of the nodes that it ``reads``. A layer has ``layers``, its positions in
    the verdict's list of layers; others have their ``op``: ``input``, or an operator with several
    inputs. The list is empty for a network of more than 2,000 nodes.

    Args:
        program: The network.
        analysis: Its analysis.
        layers: The node of each layer in the verdict.
    """
    places: dict[fx.Node, list[int]] = {}
    for place, node in enumerate(layers):
        places.setdefault(node, []).append(place)
    found: list[dict[str, Any]] = []
    origins: dict[fx.Node, tuple[int, ...]] = {}
    for node in program.graph.nodes:
        reads = _reads(node, origins, analysis)
        if node.op == "placeholder":
            origins[node] = (_add(found, {"op": "input"}, ()),)
        elif node in places:
            origins[node] = (_add(found, {"layers": places[node]}, reads),)
        elif node.op == "call_function" and len(reads) > 1:
            origins[node] = (_add(found, {"op": op_name(node.target)}, reads),)
        else:
            origins[node] = reads
    return found if len(found) <= _MOST_NODES else []


def _reads(
    node: fx.Node, origins: dict[fx.Node, tuple[int, ...]], analysis: Analysis
) -> tuple[int, ...]:
    """Return the diagram's nodes whose tensors reach an operator, ascending."""
    tensors = [given for given in node.all_input_nodes if _is_tensor(given, analysis)]
    return tuple(sorted({origin for given in tensors for origin in origins[given]}))


def _is_tensor(node: fx.Node, analysis: Analysis) -> bool:
    value = analysis.shapes[node]
    parts = value if isinstance(value, (tuple, list)) else (value,)
    return any(isinstance(part, Tensor) for part in parts)


def _add(found: list[dict[str, Any]], entry: dict[str, Any], reads: tuple[int, ...]) -> int:
    found.append({**entry, "reads": list(reads[-_MOST_READS:])})
    return len(found) - 1
