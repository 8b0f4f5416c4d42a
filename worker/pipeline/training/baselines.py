"""Baselines: a randomly pruned network and one trained from scratch, with the same widths.

PruningBench ranks random pruning third of twelve criteria. Liu et al. 2019 ("Rethinking the Value
of Network Pruning", arXiv:1810.05270) train pruned networks from scratch to the same accuracy.
Users should compare with both before they trust a criterion.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from secateur.engine.plan import Plan, make_plan
from secateur.engine.program.functional import op_name
from secateur.engine.program.program import Program, Role
from secateur.engine.surgery import mask_program
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.job.results import Baseline
from worker.pipeline.training.run import Start, start_of, train

_NORMS = frozenset({"batch_norm", "layer_norm", "group_norm", "instance_norm"})
_SCALE, _SHIFT, _MEAN, _VARIANCE = 1, 2, 3, 4


def train_baselines(inputs: Inputs, plan: Plan) -> tuple[Baseline, ...]:
    """Train both baselines of a plan for the epochs of the config.

    Raises:
        EngineError: Training fails; see `train`.
    """
    seed = inputs.request.config.seed
    other = at_random(inputs, plan, seed)
    runs: tuple[tuple[Literal["random", "scratch"], Callable[[], Start]], ...] = (
        ("random", lambda: replace(start_of(inputs, other), label="random")),
        (
            "scratch",
            lambda: Start(plan, _reset(inputs, plan, seed), None, "scratch", is_reset=True),
        ),
    )
    found = []
    for number, (kind, start) in enumerate(runs):
        with inputs.reporter.part(number, len(runs), f"baseline: {kind}"):
            found.append(Baseline(kind, train(inputs, start())))
    return tuple(found)


def at_random(inputs: Inputs, plan: Plan, seed: int) -> Plan:
    """Return a plan of the same widths with randomly chosen groups."""
    generator = torch.Generator().manual_seed(seed)
    keeps: dict[str, Tensor] = {}
    for family in plan.families:
        order = torch.randperm(family.num_groups, generator=generator)
        keeps[family.name] = torch.zeros(family.num_groups, dtype=torch.bool)
        keeps[family.name][order[: len(family.kept)]] = True
    return make_plan(inputs.program, inputs.analysis, keeps, settings={"criterion": "random"})


def _reset(inputs: Inputs, plan: Plan, seed: int) -> Program:
    return mask_program(reset_weights(inputs.program, seed), plan)


def reset_weights(program: Program, seed: int) -> Program:
    """Return the network with new weights, initialised as PyTorch initialises convolutions.

    Kernels are uniform within one over the square root of their fan-in (He et al. 2015,
    arXiv:1502.01852, with a = sqrt(5)); biases and shifts are zero, scales and variances one.
    Constants stay, because they belong to the architecture.
    """
    generator = torch.Generator().manual_seed(seed)
    ones = _ones(program)
    tensors = {}
    for name, tensor in program.tensors.items():
        if name in ones:
            tensors[name] = torch.ones_like(tensor)
        elif program.roles[name] is Role.CONSTANT or not tensor.is_floating_point():
            tensors[name] = tensor
        elif tensor.ndim > 1 and program.roles[name] is Role.PARAMETER:
            bound = 1 / math.sqrt(tensor[0].numel())
            drawn = torch.rand(tensor.shape, generator=generator) * 2 - 1
            tensors[name] = (drawn * bound).to(tensor.dtype)
        else:
            tensors[name] = torch.zeros_like(tensor)
    return program.with_tensors(tensors)


def _ones(program: Program) -> set[str]:
    """Return the names of scales and running variances."""
    found = set()
    for node in program.graph.nodes:
        if node.op != "call_function" or op_name(node.target) not in _NORMS:
            continue
        is_batch = op_name(node.target) == "batch_norm"
        places = (_SCALE, _VARIANCE) if is_batch else (_SCALE, _SHIFT)
        for place in places[: 2 if is_batch else 1]:
            source = node.args[place] if place < len(node.args) else None
            if getattr(source, "op", None) == "get_attr":
                found.add(str(source.target))  # type: ignore[union-attr]
    return found
