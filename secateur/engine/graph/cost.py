"""Exact MACs and parameters of a pruned program, without building it.

Costs are functions of *widths*: the number of groups each family keeps when groups are removed in
a given order. A search changes one family at a time, so only the terms of that family are
recomputed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor, fx

from secateur.engine.graph.analysis import Analysis
from secateur.engine.graph.atoms import Atoms
from secateur.engine.program.macs import mac_terms
from secateur.engine.program.program import Program
from secateur.engine.program.shapes import num_analysed

Keeps = Mapping[str, Tensor]
Widths = Mapping[str, int]
Orders = Mapping[str, Sequence[int]]  # groups of each family, in order of removal


@dataclass(frozen=True)
class Count:
    """A size as a function of widths.

    Attributes:
        fixed: Part of the size that no family changes.
        tables: For each other family, the size that is left at every width.
    """

    fixed: int
    tables: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @property
    def families(self) -> tuple[str, ...]:
        """Names of the families that change this size."""
        return tuple(name for name, _ in self.tables)

    def at(self, widths: Widths) -> int:
        """Return the size at ``widths``; families not in ``widths`` have all their groups."""
        size = self.fixed
        for name, table in self.tables:
            size += table[widths.get(name, -1)]
        return size


class Counts:
    """Sizes of a program's values and tensors when families lose groups in given orders."""

    def __init__(self, analysis: Analysis, orders: Orders) -> None:
        self._analysis = analysis
        self._names = [family.name for family in analysis.families]
        sizes = [family.num_groups for family in analysis.families]
        self._starts = np.cumsum([0, *sizes])
        self._family_of_group = np.repeat(np.arange(len(sizes)), sizes)
        ranks = [np.argsort(orders.get(f.name, range(f.num_groups))) for f in analysis.families]
        self._rank_of_group = np.concatenate([np.zeros(0, dtype=np.int64), *ranks])
        self._cache: dict[int, tuple[Tensor, Count]] = {}  # by identity: values share labels

    def of_value(self, node: fx.Node, dim: int) -> Count:
        """Return the size of a value's dimension at the analysis's batch size."""
        labels = self._analysis.labels.get(node, {})
        ids = labels.get(dim) if isinstance(labels, dict) else None
        return self.of_label(ids, self._analysis.shapes[node].shape[dim])

    def of_label(self, ids: Tensor | None, size: int) -> Count:
        """Return the size of a dimension with the label ``ids``, or ``size`` without a label."""
        if ids is None:
            return Count(size)
        cached = self._cache.get(id(ids))
        if cached is None:
            cached = self._cache[id(ids)] = (ids, self._count(ids.numpy()))
        return cached[1]

    def _count(self, ids: np.ndarray) -> Count:
        groups = self._analysis.group_of_atom[ids[ids >= 0]]
        groups = groups[groups >= 0]
        families = self._family_of_group[groups]
        tables = []
        for number in np.unique(families).tolist():
            num_groups = int(self._starts[number + 1] - self._starts[number])
            ranks = self._rank_of_group[groups[families == number]]
            # At width w, the atoms with the last w ranks are left.
            by_rank = np.bincount(ranks, minlength=num_groups)[::-1]
            table = np.concatenate([[0], np.cumsum(by_rank)])
            tables.append((self._names[number], tuple(table.tolist())))
        return Count(len(ids) - len(groups), tuple(tables))


@dataclass(frozen=True)
class Term:
    """One term of a cost, and the families that change it."""

    families: tuple[str, ...]
    at: Callable[[Widths], float]


class WidthSum:
    """Sum of terms that remembers the last widths and recomputes only the changed terms."""

    def __init__(self, terms: Sequence[Term], analysis: Analysis) -> None:
        self._terms = terms
        self._widths = {family.name: family.num_groups for family in analysis.families}
        self._values = [term.at(self._widths) for term in terms]
        self._total = sum(self._values)
        self._touched: dict[str, list[int]] = {name: [] for name in self._widths}
        for index, term in enumerate(terms):
            for name in term.families:
                self._touched[name].append(index)

    def __call__(self, widths: Widths) -> float:
        """Return the sum; families not in ``widths`` keep the width of the last call."""
        changed = [name for name, width in widths.items() if self._widths[name] != width]
        if changed:
            self._widths.update(widths)
            for index in {index for name in changed for index in self._touched[name]}:
                value = self._terms[index].at(self._widths)
                self._total += value - self._values[index]
                self._values[index] = value
        return self._total


class CostModel:
    """MACs and parameters of a pruned program.

    The numbers equal `measure.count_macs` and `measure.count_parameters` of the compacted program.
    """

    def __init__(self, program: Program, analysis: Analysis) -> None:
        self._program, self._analysis = program, analysis

    def macs_by_width(self, orders: Orders) -> WidthSum:
        """Return the multiply-accumulates (MACs) of one sample as a function of widths."""
        counts = Counts(self._analysis, orders)
        products = [
            [counts.of_value(node, dim) for node, dim in factors]
            for _, factors in mac_terms(self._program, self._analysis.shapes)
        ]
        return self._sum(products, num_analysed(self._program))

    def params_by_width(self, orders: Orders) -> WidthSum:
        """Return the number of parameters as a function of widths."""
        counts = Counts(self._analysis, orders)
        atoms = Atoms(self._program.tensors)
        products = []
        for name, tensor in self._program.parameters().items():
            own = atoms.of(name, tensor.shape)
            sizes = [counts.of_label(own.get(dim), size) for dim, size in enumerate(tensor.shape)]
            products.append(sizes)
        return self._sum(products, 1)

    def macs(self, keeps: Keeps) -> int:
        """Return the MACs of one sample; families not in ``keeps`` keep all groups."""
        orders, widths = as_widths(keeps)
        return int(self.macs_by_width(orders)(widths))

    def params(self, keeps: Keeps) -> int:
        """Return the number of parameters; families not in ``keeps`` keep all groups."""
        orders, widths = as_widths(keeps)
        return int(self.params_by_width(orders)(widths))

    def _sum(self, products: Sequence[Sequence[Count]], divisor: int) -> WidthSum:
        return WidthSum([product_term(factors, divisor) for factors in products], self._analysis)


def product_term(factors: Sequence[Count], divisor: int = 1) -> Term:
    """Return the product of sizes over ``divisor``, which must divide it."""
    constant = prod(factor.fixed for factor in factors if not factor.tables)
    varying = [factor for factor in factors if factor.tables]
    families = tuple(dict.fromkeys(name for factor in varying for name in factor.families))

    def at(widths: Widths) -> int:
        product = constant
        for factor in varying:
            product *= factor.at(widths)
        return product // divisor

    return Term(families, at)


def as_widths(keeps: Keeps) -> tuple[dict[str, list[int]], dict[str, int]]:
    """Return the order in which masks remove groups, and the widths that they keep."""
    orders = {
        name: torch.argsort(keep.long(), stable=True).tolist() for name, keep in keeps.items()
    }
    return orders, {name: int(keep.sum()) for name, keep in keeps.items()}
