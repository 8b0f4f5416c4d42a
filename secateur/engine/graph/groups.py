"""Channel groups (slices that are kept or removed together) and their families.

A group is a connected component of the atoms. Groups that touch the same axes the same number of
times form a family; groups are ranked against each other within a family.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from secateur.engine.graph.atoms import FILL, Atoms, Ints, MemberRole, Pin

_ROLES = tuple(MemberRole)


@dataclass(frozen=True)
class Member:
    """One axis of a family.

    Attributes:
        tensor: Fully qualified name.
        dim: Dimension of the tensor.
        index_GK: int64 (num_groups, K): indices along ``dim`` that belong to each group.
        role: Role of the slices.
    """

    tensor: str
    dim: int
    index_GK: Tensor  # noqa: N815  # shape suffix
    role: MemberRole


@dataclass(frozen=True)
class Family:
    """Channel groups that touch the same axes.

    Attributes:
        name: Weight of the first producer; a ``#n`` suffix separates families of one weight.
        num_groups: Number of groups; any non-empty subset can be kept.
        members: Axes the groups touch, in the order of the program's tensors.
        inexact_ops: Operators whose remaining values change when a group is removed.
    """

    name: str
    num_groups: int
    members: tuple[Member, ...]
    inexact_ops: tuple[str, ...]

    @property
    def is_exact(self) -> bool:
        """Whether the compacted network equals the masked twin."""
        return not self.inexact_ops

    def to(self, device: torch.device) -> "Family":
        """Return the family with its indices on ``device``."""
        members = (replace(m, index_GK=m.index_GK.to(device)) for m in self.members)
        return replace(self, members=tuple(members))

    def producers(self) -> tuple[Member, ...]:
        """Return the axes that are filters of a contraction."""
        return tuple(m for m in self.members if m.role is MemberRole.PRODUCER)


@dataclass(frozen=True)
class FrozenChannels:
    """Filters that cannot be pruned, and the reason."""

    tensor: str
    dim: int
    num_channels: int
    pin: Pin


@dataclass(frozen=True)
class Groups:
    """Families, frozen filters, and the group of each atom.

    Attributes:
        families: Prunable channel groups, by family.
        frozen: Filters that cannot be pruned.
        group_of_atom: Group number of every atom, counted across all families; -1 for none.
    """

    families: tuple[Family, ...]
    frozen: tuple[FrozenChannels, ...]
    group_of_atom: Ints


def find_groups(atoms: Atoms, component: Ints) -> Groups:
    """Collect connected atoms into groups, and groups into families."""
    axis = np.repeat(np.arange(len(atoms.axes)), np.diff(atoms.starts))
    roles = atoms.roles()
    is_producer = np.zeros(atoms.num_atoms, dtype=bool)
    is_producer[component[roles == MemberRole.PRODUCER]] = True
    pin_of = np.full(atoms.num_atoms, np.iinfo(np.int64).max)
    pinned = atoms.pinned()
    np.minimum.at(pin_of, component[pinned >= 0], pinned[pinned >= 0])
    is_pinned = pin_of < np.iinfo(np.int64).max
    is_free = is_producer[component] & ~is_pinned[component]
    families, group_of_atom = _families(atoms, component, axis, roles, is_free)
    frozen = _frozen(atoms, axis, pin_of[component], roles)
    return Groups(families, frozen, group_of_atom)


def connected_components(num_nodes: int, a: Ints, b: Ints) -> Ints:
    """Return the smallest node connected to each node (hooking and pointer jumping)."""
    label = np.arange(num_nodes)
    while True:
        lowest = np.minimum(label[a], label[b])
        if (label[a] == lowest).all() and (label[b] == lowest).all():
            return label
        np.minimum.at(label, label[a], lowest)
        np.minimum.at(label, label[b], lowest)
        while not np.array_equal(jumped := label[label], label):
            label = jumped


def _families(
    atoms: Atoms, component: Ints, axis: Ints, roles: Ints, is_free: np.ndarray
) -> tuple[tuple[Family, ...], Ints]:
    group_of_atom = np.full(atoms.num_atoms, -1, dtype=np.int64)
    inexact = _inexact_by_component(atoms, component)
    families: list[Family] = []
    taken: dict[str, int] = {}
    num_groups = 0
    for table in _tables(component, axis, is_free):
        group_of_atom[table] = np.arange(num_groups, num_groups + len(table))[:, None]
        num_groups += len(table)
        ops = sorted(op for op, found in inexact.items() if found[component[table[:, 0]]].any())
        families.append(_family(atoms, axis[table[0]], table, roles, tuple(ops), taken))
    return tuple(families), group_of_atom


def _tables(component: Ints, axis: Ints, is_free: np.ndarray) -> list[Ints]:
    """Return the atoms of each family, (num_groups, atoms per group), each row ascending."""
    free = np.flatnonzero(is_free)
    if len(free) == 0:
        return []
    free = free[np.argsort(component[free], kind="stable")]
    group_of = component[free]
    starts = _run_starts(group_of)
    # Hash the axes of a group: a random 64-bit number per axis, summed over the group.
    numbers = np.random.default_rng(0).integers(2**63, size=int(axis[-1]) + 1, dtype=np.uint64)
    sums = np.add.reduceat(numbers[axis[free]], starts)
    sizes = np.diff(starts, append=len(free))
    _, first, family = np.unique(sums, return_index=True, return_inverse=True)
    order = np.argsort(first[family], kind="stable")  # families by their first atom
    cuts = np.flatnonzero(np.diff(first[family][order])) + 1
    tables = []
    for groups in np.split(order, cuts):
        table = free[starts[groups][:, None] + np.arange(sizes[groups[0]])]
        if (axis[table] != axis[table[0]]).any():
            raise AssertionError("two different sets of axes have the same 64-bit sum")
        tables.append(table)
    return tables


def _run_starts(values: Ints) -> Ints:
    """Return the start of each run of equal values."""
    is_start = np.empty(len(values), dtype=bool)
    is_start[0] = True
    np.not_equal(values[1:], values[:-1], out=is_start[1:])
    return np.flatnonzero(is_start)


def _family(
    atoms: Atoms, axes: Ints, table: Ints, roles: Ints, ops: tuple[str, ...], taken: dict[str, int]
) -> Family:
    starts = _run_starts(axes)
    index = torch.from_numpy(table - atoms.starts[axes])
    role_of = np.maximum.reduceat(roles[table].max(0), starts)
    sizes = np.diff(starts, append=len(axes)).tolist()
    columns = index.split(sizes, dim=1)
    members = [
        Member(atoms.axes[number][0], atoms.axes[number][1], index_GK, _ROLES[role])
        for number, index_GK, role in zip(
            axes[starts].tolist(), columns, role_of.tolist(), strict=True
        )
        if not atoms.axes[number][0].startswith(FILL)
    ]
    first = next(m.tensor for m in members if m.role is MemberRole.PRODUCER)
    taken[first] = taken.get(first, 0) + 1
    name = first if taken[first] == 1 else f"{first}#{taken[first]}"
    return Family(name, len(table), tuple(members), ops)


def _inexact_by_component(atoms: Atoms, component: Ints) -> dict[str, np.ndarray]:
    found = {}
    for op, ids in atoms.inexact_ops().items():
        found[op] = np.zeros(atoms.num_atoms, dtype=bool)
        found[op][component[ids]] = True
    return found


def _frozen(atoms: Atoms, axis: Ints, pins: Ints, roles: Ints) -> tuple[FrozenChannels, ...]:
    """Return the pinned filters by axis; ``pins`` holds the first pin of each atom."""
    chosen = np.flatnonzero((pins < np.iinfo(np.int64).max) & (roles == MemberRole.PRODUCER))
    if len(chosen) == 0:
        return ()
    cuts = np.flatnonzero(np.diff(axis[chosen])) + 1
    frozen = []
    for ids in np.split(chosen, cuts):
        tensor, dim = atoms.axes[axis[ids[0]]]
        frozen.append(FrozenChannels(tensor, dim, len(ids), atoms.pins[int(pins[ids].min())]))
    return tuple(frozen)
