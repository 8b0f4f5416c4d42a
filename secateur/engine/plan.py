"""The plan: the channel groups to keep, as JSON, with the numbers behind the choice.

A plan is data. A fingerprint binds it to a graph, so it applies to other weights of the same graph.
The same inputs and seed give the same bytes.
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
    """The groups to keep of one family.

    Attributes:
        name: The family's name.
        num_groups: Number of groups in the family.
        kept: Indices of the groups to keep, ascending.
        saliency: Score of each group; None if not measured.
        detail: The numbers behind the cut (threshold, reason, …).
    """

    name: str
    num_groups: int
    kept: tuple[int, ...]
    saliency: tuple[float, ...] | None
    detail: Mapping[str, Any]

    @property
    def num_removed(self) -> int:
        """Number of groups removed."""
        return self.num_groups - len(self.kept)


@dataclass(frozen=True)
class AxisPlan:
    """The indices to keep along one dimension of one tensor."""

    tensor: str
    dim: int
    size: int
    kept: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """The groups to keep of a program.

    Attributes:
        fingerprint: Fingerprint of the plan's graph, from `fingerprint`.
        families: One entry per family.
        axes: The same choice as indices, for every tensor dimension that shrinks.
        settings: The criterion and selection settings.
    """

    fingerprint: str
    families: tuple[FamilyPlan, ...]
    axes: tuple[AxisPlan, ...]
    settings: Mapping[str, Any]

    @property
    def num_removed(self) -> int:
        """Number of channel groups removed."""
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
        """Return the boolean mask of every family, (num_groups,), True = keep."""
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
    """Return the plan that keeps the groups ``keeps``, as groups and as tensor indices.

    Args:
        program: The analysed program.
        analysis: Its channel groups.
        keeps: Boolean mask of each family, (num_groups,), True = keep. Missing families keep all.
        saliency: Scores of each family, (num_groups,).
        details: Numbers behind the cut of each family.
        settings: The user's settings.

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
    """Raise `PlanError` unless an external plan is consistent and made for this graph.

    Its families must match the analysis, and its axes must follow from its families.
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
