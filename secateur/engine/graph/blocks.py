"""Blocks of channels that should go as a whole: heads of attention, groups of a norm.

A reshape of C channels to (heads, width) leaves a box of channels. The default keeps the longest
side: the j-th channel of every head is one group. Where the other side is a batch dimension of a
product of two activations, it counts heads, and each head becomes a group.

No layer is recognised by name. Every side of every box gets labels of its own ("probes"), and the
usual rules carry them to the products.

A group norm computes statistics of each of its groups. Without the j-th channel of every group all
of them shift; without whole groups the others stay as they are.
"""

from collections.abc import Callable

import numpy as np
from torch import Tensor, fx

from secateur.engine.graph.atoms import Ints
from secateur.engine.graph.flow import Origin, find_origins
from secateur.engine.graph.groups import connected_components
from secateur.engine.graph.propagate import Probes, Rule, propagate_labels
from secateur.engine.program.functional import op_name
from secateur.engine.program.program import Program
from secateur.engine.program.shapes import Shapes

_FEWEST = 8  # groups of a norm; fewer would be too coarse
_PRODUCTS = frozenset("matmul bmm baddbmm einsum scaled_dot_product_attention".split())

Blocks = dict[fx.Node, int]  # calls, with the dimension of their output that counts blocks


def find_heads(
    program: Program, shapes: Shapes, find_rule: Callable[[object], Rule | None]
) -> list[Blocks]:
    """Return the reshapes that split channels into heads, one dict for each set of heads."""
    products = _products_of_activations(program, shapes)
    if not products:
        return []
    probes = Probes()
    atoms, _ = propagate_labels(program, shapes, find_rule, probes=probes)
    component = connected_components(atoms.num_atoms, *atoms.edges())
    counting = [ids for node, ids in atoms.batches if node in products]
    roots = {root for ids in counting for root in _roots(component, ids)}
    found: dict[int, Blocks] = {}
    for (node, dim), ids in probes.found.items():
        here = _roots(component, ids)
        if not here & roots or not isinstance(shapes[node], Tensor):
            continue
        heads = found.setdefault(min(here), {})
        other = heads.get(node)
        if other is None or shapes[node].shape[dim] > shapes[node].shape[other]:
            heads[node] = dim
    return list(found.values())


def find_norm_groups(program: Program, shapes: Shapes) -> list[Blocks]:
    """Return the group norms that have groups enough to lose whole ones."""
    found: list[Blocks] = []
    for node in program.graph.nodes:
        if op_name(node.target) == "group_norm" and len(node.args) > 1:
            num_groups, shape = node.args[1], shapes[node].shape
            if isinstance(num_groups, int) and _FEWEST <= num_groups < shape[1]:
                found.append({node: 1})
    return found


def _products_of_activations(program: Program, shapes: Shapes) -> set[fx.Node]:
    calls = [node for node in program.graph.nodes if op_name(node.target) in _PRODUCTS]
    if not calls:
        return set()
    origins = find_origins(program, shapes)
    found = set()
    for node in calls:
        computed = [v for v in node.all_input_nodes if origins[v] is Origin.INPUT]
        if len(computed) > 1 or len(node.all_input_nodes) == 1:  # x @ x
            found.add(node)
    return found


def _roots(component: Ints, ids: Tensor) -> set[int]:
    return set(np.unique(component[ids[ids >= 0].numpy()]).tolist())
