"""Dependency analysis of a program: its channel groups and where each channel goes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from secateur.engine.graph.atoms import FILL, Ints
from secateur.engine.graph.blocks import Blocks, find_heads, find_norm_groups
from secateur.engine.graph.groups import Family, FrozenChannels, connected_components, find_groups
from secateur.engine.graph.meaning import pin_meaning
from secateur.engine.graph.propagate import Labels, propagate_labels
from secateur.engine.graph.rules import find_rule
from secateur.engine.graph.zeros import settle_zeros
from secateur.engine.program.program import Program
from secateur.engine.program.shapes import Shapes, propagate


@dataclass(frozen=True)
class Analysis:
    """Channels of a program that can be pruned, and those that cannot.

    Attributes:
        families: Prunable channel groups, by family.
        frozen: Filters that cannot be pruned, with reasons.
        shapes: Meta tensor of every value, for a batch of 2.
        labels: For every value and labelled dimension, the atom at each index.
        axes: Tensor name and dimension of every axis that has atoms.
        starts: First atom of each axis, followed by the total number of atoms.
        group_of_atom: Group number of every atom, counted across all families; -1 for none.
        exact_norms: Norms over channels that go on counting removed ones as zeros.
    """

    families: tuple[Family, ...]
    frozen: tuple[FrozenChannels, ...]
    shapes: Shapes
    labels: dict[fx.Node, Labels | list[Labels]]
    axes: tuple[tuple[str, int], ...]
    starts: Ints
    group_of_atom: Ints
    exact_norms: frozenset[fx.Node] = frozenset()

    def to(self, device: torch.device) -> "Analysis":
        """Return the analysis with the indices of every family on ``device``."""
        if device.type == "cpu":
            return self
        return replace(self, families=tuple(family.to(device) for family in self.families))

    def family(self, name: str) -> Family:
        """Return a family by name."""
        return next(family for family in self.families if family.name == name)

    def kept_atoms(self, keeps: Mapping[str, Tensor]) -> NDArray[np.bool_]:
        """Return a mask over atoms, True = keep; families not in ``keeps`` keep everything."""
        parts = [
            np.ones(family.num_groups, dtype=bool) if keep is None else keep.numpy()
            for family in self.families
            for keep in [keeps.get(family.name)]
        ]
        # The extra last entry is index -1: atoms without a group are kept.
        return np.concatenate([*parts, np.ones(1, dtype=bool)])[self.group_of_atom]

    def kept_indices(self, keeps: Mapping[str, Tensor]) -> dict[tuple[str, int], Ints]:
        """Return the kept indices of every axis that loses some, by tensor name and dimension."""
        is_kept = self.kept_atoms(keeps)
        num_kept = np.add.reduceat(is_kept, self.starts[:-1], dtype=np.int64)
        shrunk = np.flatnonzero(num_kept < np.diff(self.starts))
        return {
            self.axes[axis]: np.flatnonzero(is_kept[self.starts[axis] : self.starts[axis + 1]])
            for axis in shrunk.tolist()
            if not self.axes[axis][0].startswith(FILL)
        }


def analyse(program: Program, *, has_exact_norms: bool = False) -> Analysis:
    """Find the channel groups of a program by label propagation.

    The groups equal those of DepGraph (Fang et al. 2023, arXiv:2301.12900). DepGraph needs a rule
    for every pair of layers; this runs the exported graph's data movement on integer labels.

    Args:
        program: The program.
        has_exact_norms: Whether LayerNorm, RMSNorm and GroupNorm go on counting removed channels as
            zeros, which makes their groups exact. The smaller network then pads their inputs.
    """
    shapes = propagate(program)
    found = _analyse(program, shapes, {}, has_exact_norms)
    heads, norms = find_heads(program, shapes, find_rule), find_norm_groups(program, shapes)
    if not heads and not norms:
        return found
    whole = _analyse(program, shapes, _joined([*heads, *norms]), has_exact_norms)
    kept = [each for each in heads if all(_rank(whole, n) >= _rank(found, n) for n in each)]
    kept += [each for each in norms if all(_rank(whole, n) > _rank(found, n) for n in each)]
    if not kept:
        return found
    if len(kept) == len(heads + norms):
        return whole
    return _analyse(program, shapes, _joined(kept), has_exact_norms)


def _analyse(
    program: Program,
    shapes: Shapes,
    blocks: Blocks,
    has_exact_norms: bool,  # noqa: FBT001  # passed on
) -> Analysis:
    """Analyse with whole blocks of channels as groups where ``blocks`` says so."""
    atoms, labels = propagate_labels(
        program, shapes, find_rule, blocks, has_exact_norms=has_exact_norms
    )
    component = connected_components(atoms.num_atoms, *atoms.edges())
    pin_meaning(program, shapes, atoms, labels, component)
    settle_zeros(atoms, labels, component)
    groups = find_groups(atoms, component)
    return Analysis(
        groups.families,
        groups.frozen,
        shapes,
        labels,
        tuple(atoms.axes),
        atoms.starts,
        groups.group_of_atom,
        frozenset(atoms.exact_norms or ()),
    )


def _joined(blocks: Sequence[Blocks]) -> Blocks:
    return {node: dim for each in blocks for node, dim in each.items()}


def _rank(analysis: Analysis, node: fx.Node) -> int:
    """Return 2 if the channels of a value are pruned exactly, 1 if inexactly, 0 if frozen."""
    labels = analysis.labels[node]
    assert isinstance(labels, dict)  # noqa: S101  # a reshape has one output
    groups = [analysis.group_of_atom[ids[ids >= 0].numpy()] for ids in labels.values()]
    found = np.concatenate([np.zeros(0, dtype=np.int64), *groups])
    if not (found >= 0).any():
        return 0
    ends = np.cumsum([family.num_groups for family in analysis.families])
    numbers = np.unique(np.searchsorted(ends, found[found >= 0], side="right"))
    families = [analysis.families[number] for number in numbers]
    if any(family.num_groups == 1 for family in families):
        return 0
    return 2 if all(family.is_exact for family in families) else 1
