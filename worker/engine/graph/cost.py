"""What a program would cost after pruning, without building it: exact, and cheap to ask often."""

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from worker.engine.graph.analysis import Analysis
from worker.engine.graph.atoms import Atoms, Ints
from worker.engine.program.macs import mac_terms
from worker.engine.program.program import Program

Keeps = Mapping[str, Tensor]
_BATCH_SIZE = 2  # of the analysis


class CostModel:
    """MACs and parameters as functions of which groups are kept.

    The numbers equal `measure.count_macs` and `measure.count_parameters` of the compacted program.
    """

    def __init__(self, program: Program, analysis: Analysis) -> None:
        self._analysis = analysis
        self._macs = _Products()
        for _, factors in mac_terms(program, analysis.shapes):
            sizes = [analysis.shapes[node].shape[dim] for node, dim in factors]
            found = [analysis.labels.get(node, {}) for node, _ in factors]
            labels = [
                labels.get(dim) if isinstance(labels, dict) else None
                for labels, (_, dim) in zip(found, factors, strict=True)
            ]
            self._macs.add(sizes, labels)
        atoms = Atoms(program.tensors)
        self._params = _Products()
        for name, tensor in program.parameters().items():
            own = atoms.of(name, tensor.shape)
            self._params.add(list(tensor.shape), [own.get(dim) for dim in range(tensor.dim())])

    def macs(self, keeps: Keeps) -> int:
        """Return the multiply-accumulates of one sample."""
        return self._macs.total(kept_atoms(self._analysis, keeps)) // _BATCH_SIZE

    def params(self, keeps: Keeps) -> int:
        """Return the number of parameters."""
        return self._params.total(kept_atoms(self._analysis, keeps))


class _Products:
    """A sum of products of sizes, some of which count kept atoms."""

    def __init__(self) -> None:
        self._terms: list[tuple[int, list[tuple[int, Ints]]]] = []

    def add(self, sizes: list[int], labels: list[Tensor | None]) -> None:
        """Add a product; a size with a label counts the atoms kept among it."""
        constant, counted = 1, []
        for size, ids in zip(sizes, labels, strict=True):
            if ids is None:
                constant *= size
            else:
                index = ids.numpy()
                counted.append((int((index < 0).sum()), index[index >= 0]))
        self._terms.append((constant, counted))

    def total(self, is_kept: np.ndarray) -> int:
        """Return the sum for the atoms that are kept."""
        total = 0
        for constant, counted in self._terms:
            product = constant
            for num_unlabelled, index in counted:
                product *= num_unlabelled + int(np.count_nonzero(is_kept[index]))
            total += product
        return total


def kept_atoms(analysis: Analysis, keeps: Keeps) -> np.ndarray:
    """Return for every atom whether it is kept; families that are not named keep everything."""
    is_kept = np.ones(len(analysis.family_of_atom), dtype=bool)
    for number, family in enumerate(analysis.families):
        keep = keeps.get(family.name)
        if keep is not None:
            chosen = analysis.family_of_atom == number
            is_kept[chosen] = keep.numpy()[analysis.group_of_atom[chosen]]
    return is_kept
