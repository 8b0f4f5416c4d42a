"""Atoms: one integer for every index of every dimension of every tensor of a program.

Label propagation records its findings here: edges (atoms that must be removed together), pins
(atoms that cannot be removed, with the reason) and inexact atoms (their removal changes other
values). Everything is an array of indices; nothing loops over channels in Python.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from secateur.engine.program.functional import op_name

Ints = NDArray[np.int64]
FILL = "="  # first character of a fill's name; no tensor's name has it


class MemberRole(IntEnum):
    """Role of a tensor's slices in a group; if several apply, the largest wins."""

    OTHER = 0
    AFFINE = 1  # scale, shift, running statistic, bias
    CONSUMER = 2  # input channels of a contraction
    PRODUCER = 3  # filters: output channels of a contraction


@dataclass(frozen=True)
class Pin:
    """Reason why a channel cannot be removed, and the call that causes it."""

    reason: str
    op: str
    node: str
    source: str


@dataclass(frozen=True)
class Dissolved:
    """End of a label: a call contracts or reduces its channels.

    Attributes:
        ids: Atoms of the channels.
        node: Call that sums over them.
        values: Operands of the sum: the input of a reduction, or the factors of a contraction.
    """

    ids: Tensor
    node: fx.Node
    values: tuple[fx.Node, ...]


@dataclass(frozen=True)
class Doubt:
    """Sum over channels that is exact if what is removed is zero.

    Attributes:
        ids: Atoms of the channels.
        node: Call that sums over them.
        values: Factors of the sum, of which one must be zero.
        is_all: Whether all of them must be zero.
    """

    ids: Tensor
    node: fx.Node
    values: tuple[object, ...]
    is_all: bool


class Atoms:
    """Atoms of a program, with their edges, pins and roles.

    Args:
        tensors: Stored tensors, by name.
        fills: Sizes of values that hold one number everywhere, such as ``zeros``, by a name that no
            tensor has. A size of 1 has no atoms.

    Attributes:
        axes: ``(tensor name, dimension)`` of every axis that has atoms; those of fills come last.
        starts: First atom of each axis, followed by the total number of atoms.
        pins: All pins, in the order they were recorded.
        dissolved: Ends of labels, for `meaning` to judge.
        doubts: Sums over channels, for `zeros` to judge.
        unread: Calls whose results no output needs; they cannot make a group inexact.
        exact_norms: Norms over channels that compaction pads; None if it pads none.
        batches: Products, with the labels of their batch dimensions, for `blocks`.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        fills: Mapping[str, Sequence[int]] = MappingProxyType({}),
    ) -> None:
        self.axes: list[tuple[str, int]] = []
        starts = [0]
        self._first: dict[tuple[str, int], int] = {}
        floats = {name: t.shape for name, t in tensors.items() if t.is_floating_point()}
        self._num_stored = sum(n for shape in floats.values() for n in shape if n > 1)
        for name, shape in {**floats, **fills}.items():
            for dim, size in enumerate(shape):
                if size > 1:
                    self._first[name, dim] = starts[-1]
                    self.axes.append((name, dim))
                    starts.append(starts[-1] + size)
        self.starts: Ints = np.array(starts, dtype=np.int64)
        self.num_atoms = starts[-1]
        self.pins: list[Pin] = []
        self.dissolved: list[Dissolved] = []
        self.doubts: list[Doubt] = []
        self.exact_norms: set[fx.Node] | None = None
        self.batches: list[tuple[fx.Node, Tensor]] = []
        self.unread: frozenset[fx.Node] = frozenset()
        self._united: list[tuple[Tensor, Tensor]] = []
        self._roles: dict[MemberRole, list[Tensor]] = {role: [] for role in MemberRole}
        self._pinned: list[tuple[int, Tensor]] = []
        self._inexact: list[tuple[str, Tensor]] = []

    def of(self, tensor: str, shape: Sequence[int]) -> dict[int, Tensor]:
        """Return the labels of a stored tensor or a fill: its atoms, by dimension."""
        return {
            dim: torch.arange(first, first + size)
            for dim, size in enumerate(shape)
            if (first := self._first.get((tensor, dim))) is not None
        }

    def fresh(self, size: int) -> Tensor:
        """Return the label of a new axis that belongs to no tensor; groups cannot have it."""
        self.num_atoms += size
        return torch.arange(self.num_atoms - size, self.num_atoms)

    def unite(self, a: Tensor, b: Tensor) -> None:
        """Record that ``a`` and ``b`` are removed together, element by element; -1 pins."""
        if a is b:
            return
        if a.shape != b.shape:
            a, b = torch.broadcast_tensors(a, b)
        self._united.append((a, b) if a.dim() == 1 else (a.reshape(-1), b.reshape(-1)))

    def pin(self, ids: Tensor, reason: str, node: fx.Node) -> None:
        """Record that ``ids`` cannot be removed because of ``node``."""
        source = str(node.meta.get("source", ""))
        self._pin(ids, Pin(reason, op_name(node.target), node.name, source))

    def dissolve(self, ids: Tensor, node: fx.Node, values: Iterable[object]) -> None:
        """Record that ``node`` sums over ``ids``, which are channels of ``values``."""
        nodes = tuple(value for value in values if isinstance(value, fx.Node))
        self.dissolved.append(Dissolved(ids.reshape(-1), node, nodes))

    def share(self, ids: Tensor, node: fx.Node) -> None:
        """Record that ``ids`` are along a batch dimension of the product ``node``."""
        self.batches.append((node, ids))

    def mark_inexact(self, ids: Tensor, node: fx.Node) -> None:
        """Record that removing ``ids`` changes the remaining values of ``node``."""
        if node not in self.unread:
            self._inexact.append((op_name(node.target), ids.reshape(-1)))

    def doubt(
        self, ids: Tensor, node: fx.Node, values: Iterable[object], *, is_all: bool = False
    ) -> None:
        """Record that removing ``ids`` changes ``node`` unless one of ``values``, or all, is 0."""
        self.doubts.append(Doubt(ids.reshape(-1), node, tuple(values), is_all))

    def set_role(self, ids: Tensor | None, role: MemberRole) -> None:
        """Set the role of the slices at ``ids``; the largest of several roles wins."""
        if ids is not None:
            self._roles[role].append(ids)

    def roles(self) -> Ints:
        """Return the role of every atom."""
        roles = np.zeros(self.num_atoms + 1, dtype=np.int64)  # the last entry absorbs -1
        for role in sorted(self._roles):
            if self._roles[role]:
                roles[torch.cat(self._roles[role]).numpy()] = int(role)
        roles[self._num_stored :] = MemberRole.OTHER  # no weight produces a fill
        return roles[:-1]

    def edges(self) -> tuple[Ints, Ints]:
        """Return all pairs of atoms that are removed together; pin atoms united with a -1."""
        if not self._united:
            empty = np.zeros(0, dtype=np.int64)
            return empty, empty
        first, second = zip(*self._united, strict=True)
        a, b = torch.cat(first), torch.cat(second)
        is_real = torch.minimum(a, b) >= 0
        if bool(is_real.all()):
            return a.numpy(), b.numpy()
        unpaired = torch.maximum(a, b)[~is_real]
        self._pin(
            unpaired, Pin("is combined with a channel that no parameter produces", "", "", "")
        )
        return a[is_real].numpy(), b[is_real].numpy()

    def pinned(self) -> Ints:
        """Return the index of every atom's first pin in `pins`, or -1."""
        found = np.full(self.num_atoms + 1, -1, dtype=np.int64)  # the last entry absorbs -1
        for number, ids in reversed(self._pinned):
            found[ids.numpy()] = number
        return found[:-1]

    def inexact_ops(self) -> dict[str, Ints]:
        """Return the atoms whose removal changes an operator's values, by operator."""
        by_op: dict[str, list[Any]] = {}
        for op, ids in self._inexact:
            by_op.setdefault(op, []).append(ids[ids >= 0].numpy())
        return {op: np.concatenate(parts) for op, parts in by_op.items()}

    def _pin(self, ids: Tensor, pin: Pin) -> None:
        self._pinned.append((len(self.pins), ids))
        self.pins.append(pin)
