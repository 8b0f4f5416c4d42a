"""Pin channels with a fixed meaning: classes, bins of a distribution, conditions.

A channel is prunable only if trained weights contract it before it reaches an output, because
weights can learn to do without it. Other operators also add channels up: a sum, a norm, a product
with stored constants, a product of two activations. Their result depends on what each channel
stands for, and the caller sees it. The certificate cannot detect this, because the masked twin has
lost the same channels. Rules call `Atoms.dissolve` wherever a label ends; this pass runs once all
labels and components are known.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor, fx

from secateur.engine.graph.atoms import Atoms, Dissolved, Ints
from secateur.engine.graph.flow import (
    CONTRACTIONS,
    LIKE_SECOND,
    SHAPES_ONLY,
    Origin,
    find_exposed,
    find_origins,
)
from secateur.engine.graph.propagate import Output
from secateur.engine.program.functional import op_name
from secateur.engine.program.program import Program, Role
from secateur.engine.program.shapes import Shapes

BINS = "is a bin of a softmax whose bins are summed"
COUNTED = "is a condition that is counted"
CONSTANTS = "is weighted by stored constants, which give it a fixed meaning"
NO_WEIGHTS = "is summed into an output without trained weights in between"

_SOFTMAX = frozenset("softmax _softmax log_softmax _log_softmax".split())
_AFFINE = frozenset(
    "batch_norm instance_norm layer_norm rms_norm group_norm native_layer_norm "
    "native_group_norm _native_batch_norm_legit_no_training prelu _prelu_kernel".split()
)
_STEPS = frozenset("sign round floor ceil trunc heaviside".split())


@dataclass(frozen=True)
class _Leaves:
    """Components of channels, by the kind of value that a backward walk ends at."""

    features: set[int] = field(default_factory=set)
    bins: set[int] = field(default_factory=set)
    conditions: set[int] = field(default_factory=set)
    constants: set[int] = field(default_factory=set)


def pin_meaning(
    program: Program,
    shapes: Shapes,
    atoms: Atoms,
    labels: dict[fx.Node, Output],
    component: Ints,
) -> None:
    """Pin the channels that an operator without trained weights adds up."""
    if not atoms.dissolved:
        return
    walk = _Walk(program, shapes, labels, component)
    for found in atoms.dissolved:
        ids = found.ids[found.ids >= 0]
        of_ids = component[ids.numpy()]
        for reason, chosen in walk.reasons(found, of_ids):
            atoms.pin(ids[np.isin(of_ids, list(chosen))], reason, found.node)


class _Walk:
    """Backward walk from the end of a label to the values that its channels hold."""

    def __init__(
        self,
        program: Program,
        shapes: Shapes,
        labels: dict[fx.Node, Output],
        component: Ints,
    ) -> None:
        self._shapes, self._labels, self._component = shapes, labels, component
        self._roles = program.roles
        self._origin = find_origins(program, shapes)
        self._is_exposed = find_exposed(program, shapes, self._origin)
        self._sums = {node for node in program.graph.nodes if op_name(node.target) == "sum"}
        self._bins: dict[fx.Node, set[int]] = {}
        for node in program.graph.nodes:
            if node.op == "call_function":
                self._bins[node] = self._bins_of(node)
        self._all_bins: set[int] = set().union(*self._bins.values())

    def reasons(self, found: Dissolved, of_ids: Ints) -> Iterator[tuple[str, set[int]]]:
        """Yield a reason to pin, and the components it applies to, for the end of a label."""
        channels = set(of_ids.tolist())
        values = found.values
        is_trained = [self._origin[value] is Origin.PARAMETER for value in values]
        if len(values) > 1 and any(is_trained):
            if channels & self._all_bins:
                leaves = self._leaves(
                    [v for v, yes in zip(values, is_trained, strict=True) if not yes], channels
                )
                yield BINS, leaves.bins - leaves.features
            return
        if not all(is_trained):
            if any(self._origin[value] is Origin.CONSTANT for value in values):
                yield CONSTANTS, channels
            leaves = self._leaves(values, channels)
            yield CONSTANTS, leaves.constants
            yield BINS, leaves.bins - leaves.features
            yield COUNTED, leaves.conditions - leaves.features
        if self._is_exposed[found.node]:
            yield NO_WEIGHTS, channels

    def _leaves(self, values: Sequence[fx.Node], channels: set[int]) -> _Leaves:
        """Follow ``channels`` back from ``values`` to the values they hold."""
        leaves = _Leaves()
        seen: set[fx.Node] = set()
        frontier = list(values)
        while frontier:
            node = frontier.pop()
            if node in seen:
                continue
            seen.add(node)
            here = self._channels(node) & channels
            if not here:
                continue
            name = op_name(node.target)
            bins = self._bins.get(node, set()) & channels
            if node.op == "get_attr":
                is_trained = self._roles[str(node.target)] is Role.PARAMETER
                (leaves.features if is_trained else leaves.constants).update(here)
            elif bins:
                leaves.bins.update(bins)
            elif name in SHAPES_ONLY:
                leaves.constants.update(here)
            elif name in CONTRACTIONS:
                leaves.features.update(here)
            elif name in _STEPS or not _is_float(self._shapes[node]):
                leaves.conditions.update(here)
            else:
                inputs = node.all_input_nodes
                only_first = name in _AFFINE or name in LIKE_SECOND
                frontier += inputs[:1] if only_first else inputs
        return leaves

    def _bins_of(self, node: fx.Node) -> set[int]:
        """Return the channels over which a value sums to one."""
        name = op_name(node.target)
        if name in _SOFTMAX:
            dim: Any = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", -1)
            found = self._labels.get(node)
            rank = len(getattr(self._shapes[node], "shape", ()))
            ids = found.get(dim % max(1, rank)) if isinstance(found, dict) else None
            return self._components(ids)
        if name in {"div", "mul"}:
            for divisor in node.args[1:] if name == "div" else node.args:
                total = self._divisor_sum(divisor, is_inverse=name == "div")
                if total is not None:  # exp(x) / exp(x).sum(1): a handwritten softmax
                    gone = self._channels(total.args[0]) - self._channels(total)
                    return gone & self._channels(node)
        return set()

    def _divisor_sum(self, value: object, *, is_inverse: bool) -> fx.Node | None:
        """Return the sum that a value divides by, or None.

        Looks through reshapes, clamps and added constants. ``is_inverse`` says whether ``value``
        is the divisor itself; otherwise a reciprocal must come in between.
        """
        while isinstance(value, fx.Node) and value.op == "call_function":
            if value in self._sums and is_inverse:
                return value
            name = op_name(value.target)
            if name == "reciprocal":
                is_inverse = True
            elif name not in _KEEP_DIVISOR:
                return None
            value = value.args[0]
        return None

    def _channels(self, node: object) -> set[int]:
        """Return the components of all channels of a value."""
        found = self._labels.get(node, {}) if isinstance(node, fx.Node) else {}
        each = found if isinstance(found, list) else [found]
        return set().union(*(self._components(ids) for one in each for ids in one.values()))

    def _components(self, ids: Tensor | None) -> set[int]:
        if ids is None:
            return set()
        return set(self._component[ids[ids >= 0].numpy()].tolist())


_KEEP_DIVISOR = frozenset(
    """add clamp clamp_min clamp_max maximum unsqueeze expand expand_as view reshape clone
    contiguous to _to_copy detach alias
    """.split()
)


def _is_float(value: object) -> bool:
    each = value if isinstance(value, (list, tuple)) else [value]
    return all(not isinstance(v, Tensor) or v.is_floating_point() for v in each)
