"""The dependency analysis of a program: its channel groups, and where every channel goes."""

from dataclasses import dataclass

from torch import fx

from worker.engine.graph.atoms import Ints
from worker.engine.graph.groups import Family, FrozenChannels, find_groups
from worker.engine.graph.propagate import Labels, propagate_labels
from worker.engine.graph.rules import RULES
from worker.engine.program.program import Program
from worker.engine.program.shapes import Shapes, propagate


@dataclass(frozen=True)
class Analysis:
    """What may be removed from a program.

    Attributes:
        families: Channel groups that may go, by family.
        frozen: Filters that may not, with reasons.
        shapes: Meta tensors of every value, for batches of 2.
        labels: For every value, which atom stands behind each index of a dimension.
        family_of_atom: For every atom the number of its family, or -1.
        group_of_atom: For every atom its group within the family, or -1.
    """

    families: tuple[Family, ...]
    frozen: tuple[FrozenChannels, ...]
    shapes: Shapes
    labels: dict[fx.Node, Labels | list[Labels]]
    family_of_atom: Ints
    group_of_atom: Ints

    def family(self, name: str) -> Family:
        """Return a family by name."""
        return next(family for family in self.families if family.name == name)


def analyse(program: Program) -> Analysis:
    """Find the channel groups of a program by label propagation.

    The groups are those of DepGraph (Fang et al. 2023, arXiv:2301.12900), found on the exported
    graph by running data movement on integer labels instead of a rule for every pair of layers.
    """
    shapes = propagate(program)
    atoms, labels = propagate_labels(program, shapes, RULES)
    groups = find_groups(atoms)
    return Analysis(
        groups.families,
        groups.frozen,
        shapes,
        labels,
        groups.family_of_atom,
        groups.group_of_atom,
    )
