"""Take an optimiser's state across a cut: what belongs to kept weights stays, the rest goes."""

from collections.abc import Mapping

import torch
from torch import Tensor

from secateur.engine.errors import PlanError
from secateur.engine.plan import Plan


def carry_over(before: Plan, after: Plan, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the optimiser tensors of a network that was compacted further.

    Args:
        before: The plan that the tensors were compacted under.
        after: A plan that keeps nothing that ``before`` does not.
        tensors: By ``<parameter>/<slot>``, shaped as the parameter; others, such as AdamW's step
            counter, have no dimension and stay as they are.

    Raises:
        PlanError: ``after`` keeps what is gone.
    """
    kept_before = {(axis.tensor, axis.dim): axis.kept for axis in before.axes}
    found = dict(tensors)
    for axis in after.axes:
        old = kept_before.get((axis.tensor, axis.dim), tuple(range(axis.size)))
        places = {index: place for place, index in enumerate(old)}
        if not places.keys() >= set(axis.kept):
            raise PlanError(f"{axis.tensor} would get back what an earlier cut has removed")
        index = torch.tensor([places[kept] for kept in axis.kept])
        for key, tensor in found.items():
            if key.rpartition("/")[0] == axis.tensor and tensor.ndim > axis.dim:
                found[key] = tensor.index_select(axis.dim, index.to(tensor.device))
    return found
