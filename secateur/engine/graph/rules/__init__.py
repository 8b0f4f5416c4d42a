"""Label propagation rules, one per operator; an operator without a rule pins its inputs."""

from secateur.engine.graph.propagate import Output, Rule, Site
from secateur.engine.graph.rules import (
    contraction,
    deformable,
    movement,
    normalization,
    pointwise,
    reduction,
    writing,
)


def _max_or_min(site: Site) -> Output:
    """Rule of ``max`` and ``min``, which combine two tensors or reduce one."""
    is_binary = len(site.node.all_input_nodes) > 1
    return pointwise.combine(site) if is_binary else reduction.reduce(site)


RULES: dict[str, Rule] = {
    **reduction.RULES,
    **normalization.RULES,
    **contraction.RULES,
    **pointwise.RULES,
    **movement.RULES,
    **writing.RULES,
    **deformable.RULES,
    "max": _max_or_min,
    "min": _max_or_min,
}
