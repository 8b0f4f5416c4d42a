"""The plan: which channel groups stay, as JSON with every number that led to it.

A plan is data. It knows the graph it belongs to by a fingerprint, so it applies to other weights of
the same graph, and the same inputs and seed give the same bytes.
"""

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx

from secateur.engine.errors import PlanError
from secateur.engine.graph import Analysis
from secateur.engine.program.program import Program

VERSION = 1
_FINGERPRINTS: WeakKeyDictionary[Program, str] = WeakKeyDictionary()


@dataclass(frozen=True)
class FamilyPlan:
    """What stays of one family.

    Attributes:
        name: The family's name.
        num_groups: How many groups the family has.
        kept: The groups that stay, ascending.
        saliency: The score of each group, or None when none was measured.
        detail: The numbers behind the cut (threshold, reason, …).
    """

    name: str
    num_groups: int
    kept: tuple[int, ...]
    saliency: tuple[float, ...] | None
    detail: Mapping[str, Any]

    @property
    def num_removed(self) -> int:
        """How many groups go."""
        return self.num_groups - len(self.kept)


@dataclass(frozen=True)
class AxisPlan:
    """The indices that stay along one dimension of one tensor."""

    tensor: str
    dim: int
    size: int
    kept: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """What stays of a program.

    Attributes:
        fingerprint: Of the graph the plan was made for (`fingerprint`).
        families: One entry for each family.
        axes: The same, spelled out for every tensor and dimension that loses something.
        settings: The criterion and selection that led here.
    """

    fingerprint: str
    families: tuple[FamilyPlan, ...]
    axes: tuple[AxisPlan, ...]
    settings: Mapping[str, Any]

    @property
    def num_removed(self) -> int:
        """How many channel groups go."""
        return sum(family.num_removed for family in self.families)

    def __str__(self) -> str:
        """Return how many groups go, and a line for each family: its groups, and what stays."""
        total = sum(family.num_groups for family in self.families)
        width = max((len(family.name) for family in self.families), default=0)
        lines = [f"Plan: {self.num_removed:,} of {total:,} channel groups go"]
        lines += [
            f"  {family.name:{width}}  {family.num_groups:>5} → {len(family.kept):>5}"
            for family in self.families
        ]
        return "\n".join(lines)

    def keeps(self) -> dict[str, Tensor]:
        """Return for every family a boolean (num_groups,): True = keep."""
        masks = {}
        for family in self.families:
            masks[family.name] = torch.zeros(family.num_groups, dtype=torch.bool)
            masks[family.name][list(family.kept)] = True
        return masks

    def to_json(self) -> str:
        """Return the plan as JSON, always the same bytes for the same plan."""
        body = {
            "version": VERSION,
            "fingerprint": self.fingerprint,
            "settings": self.settings,
            "families": [vars(family) for family in self.families],
            "axes": [vars(axis) for axis in self.axes],
        }
        return json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """Return the plan that `to_json` wrote.

        Raises:
            PlanError: The text is not a plan of this version.
        """
        try:
            body = json.loads(text)
            if body["version"] != VERSION:
                raise PlanError(f"plan version {body['version']!r} is not {VERSION}")
            families = tuple(
                FamilyPlan(
                    str(f["name"]),
                    int(f["num_groups"]),
                    tuple(int(k) for k in f["kept"]),
                    None if f["saliency"] is None else tuple(float(s) for s in f["saliency"]),
                    dict(f["detail"]),
                )
                for f in body["families"]
            )
            axes = tuple(
                AxisPlan(str(a["tensor"]), int(a["dim"]), int(a["size"]), tuple(a["kept"]))
                for a in body["axes"]
            )
            for family in families:
                if not _is_ascending(family.kept, family.num_groups):
                    raise PlanError(f"not a plan: {family.name} keeps what it does not have")
            return cls(str(body["fingerprint"]), families, axes, dict(body["settings"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise PlanError(f"not a plan: {error}") from error


def _is_ascending(kept: tuple[int, ...], size: int) -> bool:
    return all(0 <= k < size for k in kept) and all(a < b for a, b in itertools.pairwise(kept))


def make_plan(
    program: Program,
    analysis: Analysis,
    keeps: Mapping[str, Tensor],
    *,
    saliency: Mapping[str, Tensor] | None = None,
    details: Mapping[str, Mapping[str, Any]] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Plan:
    """Spell out which indices of which tensors stay.

    Args:
        program: The program the analysis is of.
        analysis: Its channel groups.
        keeps: For each family a boolean (num_groups,), True = keep; a missing family stays whole.
        saliency: For each family its scores (num_groups,).
        details: For each family the numbers behind the cut.
        settings: What the user asked for.

    Raises:
        PlanError: A mask has the wrong length or keeps nothing.
    """
    families = []
    for family in analysis.families:
        keep = keeps.get(family.name, torch.ones(family.num_groups, dtype=torch.bool))
        if keep.shape != (family.num_groups,) or not bool(keep.any()):
            raise PlanError(
                f"the mask of {family.name} must keep at least one of {family.num_groups} groups"
            )
        scores = None if saliency is None else saliency.get(family.name)
        families.append(
            FamilyPlan(
                family.name,
                family.num_groups,
                tuple(keep.nonzero().flatten().tolist()),
                None if scores is None else tuple(scores.tolist()),
                dict((details or {}).get(family.name, {})),
            )
        )
    axes = _axes(program, analysis, keeps)
    return Plan(fingerprint(program), tuple(families), axes, dict(settings or {}))


def fingerprint(program: Program) -> str:
    """Return the SHA-256 of the graph and of its tensors' names, shapes and types, not values."""
    found = _FINGERPRINTS.get(program)
    if found is None:
        found = _FINGERPRINTS[program] = _fingerprint(program)
    return found


def _fingerprint(program: Program) -> str:
    digest = hashlib.sha256()
    numbers: dict[fx.Node, int] = {}
    for node in program.graph.nodes:
        numbers[node] = len(numbers)
        arguments = fx.map_arg((node.args, node.kwargs), lambda n: f"%{numbers[n]}")
        digest.update(f"{node.op} {node.target} {arguments}\n".encode())
    for name, tensor in sorted(program.tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
    for spec in program.inputs:
        digest.update(f"{spec.shape} {spec.dtype}\n".encode())
    return digest.hexdigest()


def check_fits(plan: Plan, program: Program) -> None:
    """Raise `PlanError` unless the plan was made for this graph."""
    actual = fingerprint(program)
    if plan.fingerprint != actual:
        raise PlanError(
            f"the plan is for graph {plan.fingerprint[:12]}…, the program is {actual[:12]}…"
        )


def check_consistent(plan: Plan, program: Program, analysis: Analysis) -> None:
    """Raise `PlanError` unless a plan that came from outside says one thing about one graph.

    Its families must be those of the analysis, and its axes must follow from them.
    """
    check_fits(plan, program)
    found = {family.name: family.num_groups for family in plan.families}
    if found != {family.name: family.num_groups for family in analysis.families}:
        raise PlanError("the plan's families are not those of the program")
    if any(not family.kept for family in plan.families):
        raise PlanError("the plan leaves a family without channels")
    if plan.axes != _axes(program, analysis, plan.keeps()):
        raise PlanError("the plan's axes do not follow from its families")


def _axes(
    program: Program, analysis: Analysis, keeps: Mapping[str, Tensor]
) -> tuple[AxisPlan, ...]:
    return tuple(
        AxisPlan(tensor, dim, program.tensors[tensor].shape[dim], tuple(index.tolist()))
        for (tensor, dim), index in sorted(analysis.kept_indices(keeps).items())
    )
