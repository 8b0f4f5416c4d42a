"""Label propagation: walk a program once and find the channels that belong together.

A *label* gives, for one dimension of a value, the atom at each index (-1 for none). A value has at
most one label per dimension. Each operator has a rule (`rules`), which unites the labels of its
inputs where they meet and returns the labels of its output. An operator without a rule pins its
inputs.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, fx

from secateur.engine.graph.atoms import FILL, Atoms
from secateur.engine.program.functional import op_name
from secateur.engine.program.module import resolve
from secateur.engine.program.program import Program
from secateur.engine.program.shapes import Shapes

# Errors of a rule on arguments that the exporter never writes. torch's shape propagation accepts
# calls that no kernel can compute, such as a convolution of the wrong width.
_RULE_ERRORS = (RuntimeError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)

COPIES = frozenset("lift_fresh lift_fresh_copy clone detach alias".split())
# Of these, results are as large as the argument.
_PARTS = frozenset(
    "to _to_copy view reshape flatten squeeze unsqueeze unbind getitem select".split()
)
_MOST_PARTS = 8
# Operators whose result holds one number everywhere, with the position of its sizes. Such values
# can have any width, so they lose the channels that they are combined with.
FILLS = {"zeros": 0, "ones": 0, "full": 0, "new_zeros": 1, "new_ones": 1, "new_full": 1}

Labels = dict[int, Tensor]
# Result of a rule: the labels of a tensor, or a list of labels if an operator has several outputs.
Output = Labels | list[Labels]


@dataclass(frozen=True)
class Probes:
    """Labels for every side of a box of channels, in place of a label for its longest side.

    Attributes:
        found: Labels, by the reshape and the dimension of its output.
    """

    found: dict[tuple[fx.Node, int], Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Site:
    """One call of an operator, as a rule sees it.

    Attributes:
        node: Node of the call.
        atoms: Record of edges, pins and roles.
        labels: Labels of every value so far.
        shapes: Meta tensor of every value.
        tensors: Stored tensors, by name.
        followed: Arguments whose labels the rule has handled; labels of the others are pinned.
        blocks: Calls whose channels go in blocks, with the dimension that counts the blocks.
        probes: Receives labels for every side of a box, if `blocks.find_heads` asks where they go.
    """

    node: fx.Node
    atoms: Atoms
    labels: dict[fx.Node, Output]
    shapes: Shapes
    tensors: Mapping[str, Tensor] = field(default_factory=lambda: MappingProxyType({}))
    followed: set[object] = field(default_factory=set)
    blocks: Mapping[fx.Node, int] = field(default_factory=lambda: MappingProxyType({}))
    probes: Probes | None = None

    def argument(self, index: int, name: str, default: Any = None) -> Any:  # noqa: ANN401  # literal
        """Return an argument as written in the graph, by position or by name."""
        if len(self.node.args) > index:
            return self.node.args[index]
        return self.node.kwargs.get(name, default)

    def literal(self, index: int, name: str, default: Any = None) -> Any:  # noqa: ANN401  # literal
        """Return an argument with symbolic sizes replaced by numbers."""
        return resolve(self.argument(index, name, default), self.shapes)

    def labels_of(self, value: Any) -> Labels:  # noqa: ANN401  # a node, or a number
        """Return a copy of an argument's labels, and mark the argument as followed."""
        if isinstance(value, fx.Node):
            self.followed.add(value)
        found = self.labels.get(value) if isinstance(value, fx.Node) else None
        return dict(found) if isinstance(found, dict) else {}

    def shape_of(self, value: Any) -> torch.Size:  # noqa: ANN401  # a node, or a number
        """Return the shape of a tensor argument; empty for a number."""
        meta = self.shapes.get(value) if isinstance(value, fx.Node) else None
        return meta.shape if isinstance(meta, Tensor) else torch.Size()

    def positions(self, value: Any) -> Tensor | None:  # noqa: ANN401  # a node
        """Return stored positions (n,), such as those of a channel shuffle; None for others."""
        return stored_positions(value, self.tensors)

    @property
    def output_shape(self) -> torch.Size:
        """Shape of the output, or of the first of several."""
        meta = self.shapes[self.node]
        return meta[0].shape if isinstance(meta, (list, tuple)) else meta.shape  # type: ignore[no-any-return]

    def pin_label(self, labels: Labels, dim: int, reason: str) -> None:
        """Remove the label of a dimension and pin its atoms."""
        ids = labels.pop(dim, None)
        if ids is not None:
            self.atoms.pin(ids, reason, self.node)

    def pin_inputs(self, reason: str, *, but: Collection[object] = ()) -> None:
        """Pin all labels of the call's arguments, except the arguments in ``but``."""
        for used in self.node.all_input_nodes:
            if used in but:
                continue
            found = self.labels.get(used, {})
            for labels in found if isinstance(found, list) else [found]:
                for ids in labels.values():
                    self.atoms.pin(ids, reason, self.node)


Rule = Callable[[Site], Output]


def stored_positions(value: Any, tensors: Mapping[str, Tensor]) -> Tensor | None:  # noqa: ANN401  # a node
    """Return a list of whole numbers that is stored, or a range; None for other values."""
    calls: list[fx.Node] = []
    while isinstance(value, fx.Node) and op_name(value.target) in COPIES | _PARTS:
        calls.append(value)
        if value.all_input_nodes != [value.args[0]] or len(calls) > _MOST_PARTS:
            return None
        value = value.args[0]
    if not isinstance(value, fx.Node):
        return None
    found: Any
    if op_name(value.target) == "arange" and not value.all_input_nodes:
        found = value.target(*value.args, **value.kwargs)  # type: ignore[operator]
    elif value.op == "get_attr":
        found = tensors[str(value.target)]
    else:
        return None
    for call in reversed(calls):
        found = call.target(found, *call.args[1:], **call.kwargs)  # type: ignore[operator]
    if not isinstance(found, Tensor) or found.dim() != 1 or found.is_floating_point():
        return None
    return None if found.dtype in {torch.bool, torch.uint8} else found.long()


def propagate_labels(
    program: Program,
    shapes: Shapes,
    find_rule: Callable[[object], Rule | None],
    blocks: Mapping[fx.Node, int] = MappingProxyType({}),
    probes: Probes | None = None,
    *,
    has_exact_norms: bool = False,
) -> tuple[Atoms, dict[fx.Node, Output]]:
    """Return the atoms of a program with their edges and pins, and the labels of every value.

    Args:
        program: The program.
        shapes: Meta tensor of every value.
        find_rule: Returns the rule of an operator, or None.
        blocks: Calls whose channels go in blocks, with the dimension that counts the blocks.
        probes: Receives labels for every side of a box of channels; such atoms form no groups.
        has_exact_norms: Whether compaction keeps norms over channels exact.
    """
    fills = _fills(program, shapes)
    atoms = Atoms(program.tensors, {FILL + node.name: sizes for node, sizes in fills.items()})
    atoms.exact_norms = set() if has_exact_norms else None
    atoms.unread = _unread(program.graph)
    labels: dict[fx.Node, Output] = {}
    for node in program.graph.nodes:
        if node.op == "get_attr":
            name = str(node.target)
            labels[node] = atoms.of(name, program.tensors[name].shape)
        elif node.op == "output":
            site = Site(node, atoms, labels, shapes)
            site.pin_inputs("reaches the network's output")
        elif node in fills:
            labels[node] = atoms.of(FILL + node.name, fills[node])
        elif node.op == "call_function":
            labels[node] = _apply(
                Site(node, atoms, labels, shapes, program.tensors, blocks=blocks, probes=probes),
                find_rule,
            )
        else:
            labels[node] = {}
    return atoms, labels


def _unread(graph: fx.Graph) -> frozenset[fx.Node]:
    """Return the calls whose results no output needs, such as averaged weights of attention."""
    unread: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        if node.op == "call_function" and unread.issuperset(node.users):
            unread.add(node)
    return frozenset(unread)


def _fills(program: Program, shapes: Shapes) -> dict[fx.Node, list[int]]:
    """Return the sizes of values that hold one number everywhere; 1 where the batch decides."""
    found: dict[fx.Node, list[int]] = {}
    for node in program.graph.nodes:
        position = FILLS.get(op_name(node.target)) if node.op == "call_function" else None
        if position is None or len(node.args) <= position:
            continue
        value, sizes = shapes[node], node.args[position]
        if isinstance(sizes, (list, tuple)) and value.is_floating_point():
            found[node] = [size if isinstance(size, int) else 1 for size in sizes]
    return found


def _apply(site: Site, find_rule: Callable[[object], Rule | None]) -> Output:
    name = op_name(site.node.target)
    rule = find_rule(site.node.target)
    if not any(site.labels.get(used) for used in site.node.all_input_nodes):
        return {}
    if rule is None:
        site.pin_inputs(f"flows into {name}, which has no rule")
        return {}
    try:
        output = rule(site)
    except _RULE_ERRORS:
        site.pin_inputs(f"flows into {name} with arguments that its rule does not support")
        return {}
    site.pin_inputs(f"is an argument of {name} that no rule follows", but=site.followed)
    return output
