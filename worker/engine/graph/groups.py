"""Channel groups: what must be kept or removed together, gathered into families.

A group is a connected component of the atoms. Groups that touch the same axes the same number of
times form a family: the unit whose members are ranked against each other.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worker.engine.graph.atoms import Atoms, Ints, MemberRole, Pin


@dataclass(frozen=True)
class Member:
    """One axis of a family.

    Attributes:
        tensor: Fully qualified name.
        dim: The dimension of the tensor.
        index_GK: int64 (num_groups, K): the indices along ``dim`` that belong to each group.
        role: What the slices do.
    """

    tensor: str
    dim: int
    index_GK: Tensor  # noqa: N815  # shape suffix
    role: MemberRole


@dataclass(frozen=True)
class Family:
    """Channel groups of one kind.

    Attributes:
        name: The weight of the first producer, made unique by a suffix where a weight has several.
        num_groups: How many groups there are; any subset but the empty one may be kept.
        members: Every axis the groups touch, in the order of the program's tensors.
        inexact_ops: Operators whose values change when a group goes, beyond losing it.
    """

    name: str
    num_groups: int
    members: tuple[Member, ...]
    inexact_ops: tuple[str, ...]

    @property
    def is_exact(self) -> bool:
        """Whether the compacted network must equal the masked twin."""
        return not self.inexact_ops

    def producers(self) -> tuple[Member, ...]:
        """Return the axes that are filters of a contraction."""
        return tuple(m for m in self.members if m.role is MemberRole.PRODUCER)


@dataclass(frozen=True)
class FrozenChannels:
    """Filters that may not go, and why."""

    tensor: str
    dim: int
    num_channels: int
    pin: Pin


@dataclass(frozen=True)
class Groups:
    """All families, what is frozen, and for each atom its family and group (-1: none)."""

    families: tuple[Family, ...]
    frozen: tuple[FrozenChannels, ...]
    family_of_atom: Ints
    group_of_atom: Ints


def find_groups(atoms: Atoms) -> Groups:
    """Gather connected atoms into groups and groups into families."""
    component = connected_components(atoms.num_atoms, *atoms.edges())
    axis = np.repeat(np.arange(len(atoms.axes)), np.diff(atoms.starts))
    is_producer = np.zeros(atoms.num_atoms, dtype=bool)
    is_producer[component[atoms.roles == MemberRole.PRODUCER]] = True
    pin_of = np.full(atoms.num_atoms, np.iinfo(np.int64).max)
    pinned = atoms.pinned()
    np.minimum.at(pin_of, component[pinned >= 0], pinned[pinned >= 0])
    is_pinned = pin_of < np.iinfo(np.int64).max
    is_free = is_producer[component] & ~is_pinned[component]
    families, family_of_atom, group_of_atom = _families(atoms, component, axis, is_free)
    frozen = _frozen(atoms, component, axis, pin_of)
    return Groups(families, frozen, family_of_atom, group_of_atom)


def connected_components(num_nodes: int, a: Ints, b: Ints) -> Ints:
    """Return for every node the smallest node it is connected to (hooking and pointer jumping)."""
    label = np.arange(num_nodes)
    while True:
        lowest = np.minimum(label[a], label[b])
        if (label[a] == lowest).all() and (label[b] == lowest).all():
            return label
        np.minimum.at(label, label[a], lowest)
        np.minimum.at(label, label[b], lowest)
        while (jumped := label[label]).tobytes() != label.tobytes():
            label = jumped


def _families(
    atoms: Atoms, component: Ints, axis: Ints, is_free: np.ndarray
) -> tuple[tuple[Family, ...], Ints, Ints]:
    family_of_atom = np.full(atoms.num_atoms, -1, dtype=np.int64)
    group_of_atom = np.full(atoms.num_atoms, -1, dtype=np.int64)
    free = np.flatnonzero(is_free)
    free = free[np.lexsort((free, component[free]))]
    starts = np.flatnonzero(np.r_[True, component[free][1:] != component[free][:-1]])
    by_axes: dict[bytes, list[Ints]] = {}
    for group in np.split(free, starts[1:]) if len(free) else []:
        by_axes.setdefault(axis[group].tobytes(), []).append(group)
    inexact = _inexact_by_component(atoms, component)
    families: list[Family] = []
    taken: dict[str, int] = {}
    for groups in sorted(by_axes.values(), key=lambda g: int(g[0][0])):
        table = np.stack(groups)  # (num_groups, atoms of a group), each row sorted by atom
        family_of_atom[table] = len(families)
        group_of_atom[table] = np.arange(len(groups))[:, None]
        ops = sorted(op for op, found in inexact.items() if found[component[table[:, 0]]].any())
        families.append(_family(atoms, axis, table, tuple(ops), taken))
    return tuple(families), family_of_atom, group_of_atom


def _family(
    atoms: Atoms, axis: Ints, table: Ints, ops: tuple[str, ...], taken: dict[str, int]
) -> Family:
    members = []
    for number in np.unique(axis[table[0]]):
        columns = table[:, axis[table[0]] == number]
        tensor, dim = atoms.axes[number]
        index = torch.from_numpy(columns - atoms.starts[number])
        role = MemberRole(int(atoms.roles[columns].max()))
        members.append(Member(tensor, dim, index, role))
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


def _frozen(atoms: Atoms, component: Ints, axis: Ints, pin_of: Ints) -> tuple[FrozenChannels, ...]:
    pins = pin_of[component]
    is_frozen = (pins < np.iinfo(np.int64).max) & (atoms.roles == MemberRole.PRODUCER)
    frozen = []
    for number in np.unique(axis[is_frozen]):
        chosen = is_frozen & (axis == number)
        tensor, dim = atoms.axes[number]
        pin = atoms.pins[int(pins[chosen].min())]
        frozen.append(FrozenChannels(tensor, dim, int(chosen.sum()), pin))
    return tuple(frozen)
