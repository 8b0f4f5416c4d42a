"""Atoms: every index of every dimension of every tensor of a program, as one integer each.

The record that label propagation writes: which atoms must go together (edges), which may not go
(pins, with the reason), and which change a value when they go (inexact). Everything is an array of
indices; nothing loops over channels in Python.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from secateur.engine.program.functional import op_name

Ints = NDArray[np.int64]


class MemberRole(IntEnum):
    """What the slices of a tensor do in a group; the largest that applies."""

    OTHER = 0
    AFFINE = 1  # scale, shift, running statistic, bias
    CONSUMER = 2  # input channels of a contraction
    PRODUCER = 3  # filters: output channels of a contraction


@dataclass(frozen=True)
class Pin:
    """Why a channel may not go."""

    reason: str
    op: str
    node: str
    source: str


@dataclass(frozen=True)
class Dissolved:
    """A label that ends: its channels are contracted or reduced.

    Attributes:
        ids: The channels.
        node: The call.
        values: What the call sums over: one value of a reduction, the factors of a contraction.
    """

    ids: Tensor
    node: fx.Node
    values: tuple[fx.Node, ...]


class Atoms:
    """The atoms of a program and what has been found out about them.

    Attributes:
        axes: ``(tensor name, dimension)`` of every axis that has atoms.
        starts: First atom of each axis; one more entry than axes.
        pins: Every reason that was given, in order.
        dissolved: Where labels end, for `meaning` to judge.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.axes: list[tuple[str, int]] = []
        starts = [0]
        self._first: dict[tuple[str, int], int] = {}
        for name, tensor in tensors.items():
            for dim, size in enumerate(tensor.shape):
                if size > 1 and tensor.is_floating_point():
                    self._first[name, dim] = starts[-1]
                    self.axes.append((name, dim))
                    starts.append(starts[-1] + size)
        self.starts: Ints = np.array(starts, dtype=np.int64)
        self.num_atoms = starts[-1]
        self.pins: list[Pin] = []
        self.dissolved: list[Dissolved] = []
        self._united: list[tuple[Tensor, Tensor]] = []
        self._roles: dict[MemberRole, list[Tensor]] = {role: [] for role in MemberRole}
        self._pinned: list[tuple[int, Tensor]] = []
        self._inexact: list[tuple[str, Tensor]] = []

    def of(self, tensor: str, shape: torch.Size) -> dict[int, Tensor]:
        """Return the labels of a stored tensor: for each of its dimensions, its atoms."""
        return {
            dim: torch.arange(first, first + size)
            for dim, size in enumerate(shape)
            if (first := self._first.get((tensor, dim))) is not None
        }

    def unite(self, a: Tensor, b: Tensor) -> None:
        """Say that ``a`` and ``b`` go together element by element; -1 cannot go, so it pins."""
        if a is b:
            return
        if a.shape != b.shape:
            a, b = torch.broadcast_tensors(a, b)
        self._united.append((a, b) if a.dim() == 1 else (a.reshape(-1), b.reshape(-1)))

    def pin(self, ids: Tensor, reason: str, node: fx.Node) -> None:
        """Say that ``ids`` may not go, and why."""
        source = str(node.meta.get("source", ""))
        self._pin(ids, Pin(reason, op_name(node.target), node.name, source))

    def dissolve(self, ids: Tensor, node: fx.Node, values: Iterable[object]) -> None:
        """Say that ``node`` sums ``ids`` away over ``values``."""
        nodes = tuple(value for value in values if isinstance(value, fx.Node))
        self.dissolved.append(Dissolved(ids.reshape(-1), node, nodes))

    def mark_inexact(self, ids: Tensor, node: fx.Node) -> None:
        """Say that the values of ``node`` change when ``ids`` go."""
        self._inexact.append((op_name(node.target), ids.reshape(-1)))

    def set_role(self, ids: Tensor | None, role: MemberRole) -> None:
        """Say what the slices at ``ids`` do; of several roles the largest counts."""
        if ids is not None:
            self._roles[role].append(ids)

    def roles(self) -> Ints:
        """Return the role of every atom."""
        roles = np.zeros(self.num_atoms + 1, dtype=np.int64)  # one more: -1 is written there
        for role in sorted(self._roles):
            if self._roles[role]:
                roles[torch.cat(self._roles[role]).numpy()] = int(role)
        return roles[:-1]

    def edges(self) -> tuple[Ints, Ints]:
        """Return all pairs of atoms that go together; what meets a -1 is pinned."""
        if not self._united:
            empty = np.zeros(0, dtype=np.int64)
            return empty, empty
        first, second = zip(*self._united, strict=True)
        a, b = torch.cat(first), torch.cat(second)
        is_real = torch.minimum(a, b) >= 0
        if bool(is_real.all()):
            return a.numpy(), b.numpy()
        lonely = torch.maximum(a, b)[~is_real]
        self._pin(lonely, Pin("meets a channel that no parameter produces", "", "", ""))
        return a[is_real].numpy(), b[is_real].numpy()

    def pinned(self) -> Ints:
        """Return for every atom the number of its first pin, or -1."""
        found = np.full(self.num_atoms + 1, -1, dtype=np.int64)  # one more: -1 is written there
        for number, ids in reversed(self._pinned):
            found[ids.numpy()] = number
        return found[:-1]

    def inexact_ops(self) -> dict[str, Ints]:
        """Return by operator the atoms whose removal changes that operator's values."""
        by_op: dict[str, list[Any]] = {}
        for op, ids in self._inexact:
            by_op.setdefault(op, []).append(ids[ids >= 0].numpy())
        return {op: np.concatenate(parts) for op, parts in by_op.items()}

    def _pin(self, ids: Tensor, pin: Pin) -> None:
        self._pinned.append((len(self.pins), ids))
        self.pins.append(pin)
