"""Separate checks of a plan's exact and inexact families.

A plan that prunes inexact groups, such as channels inside a LayerNorm, may deviate from its masked
twin as a whole. So the exact families are certified alone, and the families of each inexact
operator are measured alone: a deviation of one cannot hide that of another.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from secateur.engine.graph import Analysis
from secateur.engine.plan import Plan, make_plan
from secateur.engine.program.program import Program
from secateur.engine.surgery.certificate import Batch, Certificate, Deviation, certify, deviation
from secateur.engine.surgery.compact import compact
from secateur.engine.surgery.mask import expand_program, mask_program


@dataclass(frozen=True)
class InexactOp:
    """Families that one operator makes inexact, pruned without the others.

    Attributes:
        op: Name of the operator.
        families: Names of the families.
        float64: Deviation in float64 of the compacted program from its masked twin.
    """

    op: str
    families: tuple[str, ...]
    float64: Deviation


@dataclass(frozen=True)
class Audit:
    """Deviations of a plan's exact and inexact families.

    Attributes:
        exact: Deviation in float64 of the exact families, or None if the plan prunes none.
        inexact: One entry per inexact operator.
    """

    exact: Deviation | None
    inexact: tuple[InexactOp, ...]


def audit(program: Program, analysis: Analysis, plan: Plan, batches: Sequence[Batch]) -> Audit:
    """Certify a plan's exact families alone, and measure its inexact ones by operator.

    Raises:
        EquivalenceError: The exact families alone deviate by more than 1e-9 relative in float64.
    """
    shrunk = {family.name for family in plan.families if len(family.kept) < family.num_groups}
    families = [family for family in analysis.families if family.name in shrunk]
    exact = [family.name for family in families if family.is_exact]
    found: Deviation | None = None
    if exact:
        twin, smaller = _prune_only(program, analysis, plan, exact)
        found = certify(twin, smaller, batches).float64
    inexact = []
    for op in sorted({op for family in families for op in family.inexact_ops}):
        names = [family.name for family in families if op in family.inexact_ops]
        twin, smaller = _prune_only(program, analysis, plan, names)
        moved = deviation(twin, smaller, batches, torch.float64)
        inexact.append(InexactOp(op, tuple(names), moved))
    return Audit(found, tuple(inexact))


def certify_retrained(
    program: Program,
    analysis: Analysis,
    plan: Plan,
    retrained: Program,
    batches: Sequence[Batch],
) -> Certificate:
    """Compare a compacted program with the masked twin built from its own weights.

    Used after training, when the weights no longer match the original program's.

    Raises:
        EquivalenceError: No pruned family is inexact, but the two differ.
    """
    twin = expand_program(program, plan, retrained)
    return certify(twin, retrained, batches, inexact_ops(analysis, plan))


def inexact_ops(analysis: Analysis, plan: Plan) -> tuple[str, ...]:
    """Return the operators of a plan's pruned families whose values may change, sorted."""
    shrunk = {family.name for family in plan.families if len(family.kept) < family.num_groups}
    found = {op for f in analysis.families if f.name in shrunk for op in f.inexact_ops}
    return tuple(sorted(found))


def _prune_only(
    program: Program, analysis: Analysis, plan: Plan, names: Sequence[str]
) -> tuple[Program, Program]:
    """Return the masked twin and the compacted program for the families ``names`` of a plan."""
    keeps: dict[str, Tensor] = {k: mask for k, mask in plan.keeps().items() if k in names}
    part = make_plan(program, analysis, keeps)
    return mask_program(program, part), compact(program, analysis, part)
