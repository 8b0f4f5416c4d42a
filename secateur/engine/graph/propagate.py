"""Label propagation: walk a program once and find out which channels belong together.

A *label* of a value says, for one of its dimensions, which atom each index along it stands for
(-1: none). A value has at most one label a dimension. Each operator has a rule (`rules`) that
unites the labels that meet and returns those of its output; an operator without a rule pins what
flows into it.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from secateur.engine.graph.atoms import Atoms
from secateur.engine.program.functional import op_name
from secateur.engine.program.module import resolve
from secateur.engine.program.program import Program
from secateur.engine.program.shapes import Shapes

# What a rule raises for arguments that the exporter never writes: torch lets shapes alone through
# that no kernel computes, such as a convolution's of the wrong width.
_UNRULED = (RuntimeError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)

Labels = dict[int, Tensor]
# What a rule returns: the labels of a tensor, or a list of them for operators with several outputs.
Output = Labels | list[Labels]


@dataclass(frozen=True)
class Site:
    """One call of an operator, as a rule sees it.

    Attributes:
        node: The call.
        atoms: Where to write what is found out.
        labels: Labels of every value so far.
        shapes: Meta tensors of every value.
        followed: Arguments whose labels the rule has dealt with; of others they are pinned.
    """

    node: fx.Node
    atoms: Atoms
    labels: dict[fx.Node, Output]
    shapes: Shapes
    followed: set[object] = field(default_factory=set)

    def argument(self, index: int, name: str, default: Any = None) -> Any:  # noqa: ANN401  # literal
        """Return an argument with nodes in it, given by position or by name."""
        if len(self.node.args) > index:
            return self.node.args[index]
        return self.node.kwargs.get(name, default)

    def literal(self, index: int, name: str, default: Any = None) -> Any:  # noqa: ANN401  # literal
        """Return an argument with symbolic sizes replaced by numbers."""
        return resolve(self.argument(index, name, default), self.shapes)

    def labels_of(self, value: Any) -> Labels:  # noqa: ANN401  # a node, or a number
        """Return a copy of the labels of a tensor argument, which the rule now answers for."""
        if isinstance(value, fx.Node):
            self.followed.add(value)
        found = self.labels.get(value) if isinstance(value, fx.Node) else None
        return dict(found) if isinstance(found, dict) else {}

    def shape_of(self, value: Any) -> torch.Size:  # noqa: ANN401  # a node, or a number
        """Return the shape of a tensor argument (empty for numbers)."""
        meta = self.shapes.get(value) if isinstance(value, fx.Node) else None
        return meta.shape if isinstance(meta, Tensor) else torch.Size()

    @property
    def output_shape(self) -> torch.Size:
        """The shape of the (first) output."""
        meta = self.shapes[self.node]
        return meta[0].shape if isinstance(meta, (list, tuple)) else meta.shape  # type: ignore[no-any-return]

    def pin_label(self, labels: Labels, dim: int, reason: str) -> None:
        """Take the label of a dimension away and pin its atoms."""
        ids = labels.pop(dim, None)
        if ids is not None:
            self.atoms.pin(ids, reason, self.node)

    def pin_inputs(self, reason: str, *, but: Collection[object] = ()) -> None:
        """Pin everything that flows into the call, apart from the arguments in ``but``."""
        for used in self.node.all_input_nodes:
            if used in but:
                continue
            found = self.labels.get(used, {})
            for labels in found if isinstance(found, list) else [found]:
                for ids in labels.values():
                    self.atoms.pin(ids, reason, self.node)


Rule = Callable[[Site], Output]


def propagate_labels(
    program: Program, shapes: Shapes, rules: dict[str, Rule]
) -> tuple[Atoms, dict[fx.Node, Output]]:
    """Return the atoms of a program with all that was found, and the labels of every value."""
    atoms = Atoms(program.tensors)
    labels: dict[fx.Node, Output] = {}
    for node in program.graph.nodes:
        if node.op == "get_attr":
            name = str(node.target)
            labels[node] = atoms.of(name, program.tensors[name].shape)
        elif node.op == "output":
            site = Site(node, atoms, labels, shapes)
            site.pin_inputs("reaches the network's output")
        elif node.op == "call_function":
            labels[node] = _apply(Site(node, atoms, labels, shapes), rules)
        else:
            labels[node] = {}
    return atoms, labels


def _apply(site: Site, rules: dict[str, Rule]) -> Output:
    name = op_name(site.node.target)
    rule = rules.get(name)
    if not any(site.labels.get(used) for used in site.node.all_input_nodes):
        return {}
    if rule is None:
        site.pin_inputs(f"flows into {name}, which has no rule")
        return {}
    try:
        output = rule(site)
    except _UNRULED:
        site.pin_inputs(f"flows into {name} in a way that no rule expects")
        return {}
    site.pin_inputs(f"is an argument of {name} that no rule follows", but=site.followed)
    return output
