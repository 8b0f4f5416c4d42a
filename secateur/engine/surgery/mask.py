"""Masked twin: the original program with every removed slice set to zero.

Claims 6 and 7 of CN113361702A: the pruned filters of layer i and the matching input channels of the
kernels of layer i+1 are zero. The mask covers the whole channel group.
"""

import torch
from torch import Tensor

from secateur.engine.plan import Plan, check_fits
from secateur.engine.program.program import Program


def expand_program(program: Program, plan: Plan, compacted: Program) -> Program:
    """Return the masked twin with the kept slices of ``compacted``, for example after training.

    This inverts compaction: the slices that `compact` gathers are scattered into zeros.

    Raises:
        PlanError: The plan is for another graph.
    """
    check_fits(plan, program)
    kept: dict[str, dict[int, Tensor]] = {}
    for axis in plan.axes:
        kept.setdefault(axis.tensor, {})[axis.dim] = torch.tensor(axis.kept)
    # Whole numbers are positions, which compaction renumbers, and are not trained.
    tensors = {
        name: compacted.tensors[name] if tensor.is_floating_point() else tensor
        for name, tensor in program.tensors.items()
    }
    for name, by_dim in kept.items():
        small = compacted.tensors[name]
        full = torch.zeros(program.tensors[name].shape, dtype=small.dtype, device=small.device)
        places = [by_dim.get(dim, torch.arange(size)) for dim, size in enumerate(full.shape)]
        grid = torch.meshgrid(*places, indexing="ij")
        tensors[name] = full.index_put(tuple(index.to(small.device) for index in grid), small)
    return program.with_tensors(tensors)


def keep_masks(program: Program, plan: Plan) -> dict[str, Tensor]:
    """Return a boolean mask for each pruned tensor, in the tensor's shape, True = keep.

    Raises:
        PlanError: The plan is for another graph.
    """
    check_fits(plan, program)
    masks: dict[str, Tensor] = {}
    for axis in plan.axes:
        tensor = program.tensors[axis.tensor]
        along = torch.zeros(axis.size, dtype=torch.bool)
        along[list(axis.kept)] = True
        shape = [1] * tensor.dim()
        shape[axis.dim] = axis.size
        mask = masks.setdefault(axis.tensor, torch.ones(tensor.shape, dtype=torch.bool))
        mask &= along.view(shape)
    return {name: mask.to(program.tensors[name].device) for name, mask in masks.items()}


def mask_program(program: Program, plan: Plan) -> Program:
    """Return the masked twin: the same shapes, with zeros in the slices that the plan removes.

    Claims 6 and 7 of CN113361702A.

    Raises:
        PlanError: The plan is for another graph.
    """
    masks = keep_masks(program, plan)
    return program.with_tensors(
        {
            name: torch.where(masks[name], tensor, torch.zeros_like(tensor))
            if name in masks
            else tensor
            for name, tensor in program.tensors.items()
        }
    )
