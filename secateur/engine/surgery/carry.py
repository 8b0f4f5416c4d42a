"""Shrink an optimiser's state after pruning to the entries of the kept weights."""

from collections.abc import Mapping

import torch
from torch import Tensor

from secateur.engine.errors import PlanError
from secateur.engine.plan import Plan


def carry_over(before: Plan, after: Plan, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the optimiser's tensors for a network that was compacted further.

    Args:
        before: Plan that the tensors were compacted under.
        after: Plan that keeps a subset of what ``before`` keeps.
        tensors: Tensors by ``<parameter>/<name>``, shaped like the parameter. Scalars, such as
            AdamW's step counter, are returned unchanged.

    Raises:
        PlanError: ``after`` keeps an index that ``before`` removes.
    """
    kept_before = {(axis.tensor, axis.dim): axis.kept for axis in before.axes}
    found = dict(tensors)
    for axis in after.axes:
        old = kept_before.get((axis.tensor, axis.dim), tuple(range(axis.size)))
        places = {index: place for place, index in enumerate(old)}
        if not places.keys() >= set(axis.kept):
            raise PlanError(f"{axis.tensor} would get back channels that were pruned earlier")
        index = torch.tensor([places[kept] for kept in axis.kept])
        for key, tensor in found.items():
            if key.rpartition("/")[0] == axis.tensor and tensor.ndim > axis.dim:
                found[key] = tensor.index_select(axis.dim, index.to(tensor.device))
    return found
