"""Pair of a program and the smaller one that a plan makes of it."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from secateur.engine.graph.analysis import Analysis
from secateur.engine.plan import Plan
from secateur.engine.program.program import Program
from secateur.engine.surgery.compact import compact_with_copies


@dataclass(frozen=True)
class Pair:
    """A program before and after a cut.

    Attributes:
        dense: The program before.
        smaller: The program after.
        originals: For each node of the smaller program, the node that it is a copy of.
        analysis: Analysis of the program before.
        is_kept: Mask over atoms, True = keep.
    """

    dense: Program
    smaller: Program
    originals: Mapping[fx.Node, fx.Node]
    analysis: Analysis
    is_kept: Tensor

    def changed(self) -> set[fx.Node]:
        """Return the nodes of the smaller program whose values the cut may change."""
        found: set[fx.Node] = set()
        for node in self.smaller.graph.nodes:
            if node.op == "get_attr":
                name = str(node.target)
                before = self.dense.tensors.get(name)
                if before is None or before.shape != self.smaller.tensors[name].shape:
                    found.add(node)
            elif not found.isdisjoint(node.all_input_nodes):
                found.add(node)
        return found

    def kept_part(self, node: fx.Node, value: Tensor) -> Tensor:
        """Return the part of a value of the program before that the program after has, too."""
        labels = self.analysis.labels.get(node, {})
        for dim, ids in labels.items() if isinstance(labels, dict) else ():
            stays = self.is_kept[ids] | (ids < 0)
            if not bool(stays.all()):
                value = value.index_select(dim, stays.nonzero().flatten().to(value.device))
        return value


def make_pair(program: Program, analysis: Analysis, plan: Plan) -> Pair:
    """Return the pair of a program and its compaction.

    Raises:
        PlanError: The plan is for another graph.
    """
    smaller, copies = compact_with_copies(program, analysis, plan)
    originals = {copy: node for node, copy in copies.items()}
    is_kept = torch.from_numpy(analysis.kept_atoms(plan.keeps()))
    return Pair(program, smaller, originals, analysis, is_kept)
