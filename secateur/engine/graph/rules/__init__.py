"""Label propagation rules, one per operator; an operator without a rule pins its inputs.

Operators that torch tags as pointwise need no entry.
"""

import torch

from secateur.engine.graph.propagate import Output, Rule, Site
from secateur.engine.graph.rules import (
    contraction,
    deformable,
    dimension,
    einsum,
    movement,
    normalization,
    pointwise,
    product,
    recurrent,
    reduction,
    writing,
)
from secateur.engine.program.functional import op_name


def _max_or_min(site: Site) -> Output:
    """Rule of ``max`` and ``min``, which combine two tensors or reduce one."""
    is_binary = len(site.node.all_input_nodes) > 1
    return pointwise.combine(site) if is_binary else reduction.reduce(site)


RULES: dict[str, Rule] = {
    **reduction.RULES,
    **normalization.RULES,
    **contraction.RULES,
    **einsum.RULES,
    **pointwise.RULES,
    **movement.RULES,
    **writing.RULES,
    **deformable.RULES,
    **dimension.RULES,
    **product.RULES,
    **recurrent.RULES,
    "max": _max_or_min,
    "min": _max_or_min,
}


def find_rule(target: object) -> Rule | None:
    """Return the rule of an operator, or None."""
    found = RULES.get(op_name(target))
    if found is None and torch.Tag.pointwise in getattr(target, "tags", ()):
        return pointwise.combine
    return found
