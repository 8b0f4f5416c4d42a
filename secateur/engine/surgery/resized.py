"""A call whose channels were removed: the original, its copy, and the mask of what stays."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, fx

from secateur.engine.graph.analysis import Analysis
from secateur.engine.graph.propagate import COPIES
from secateur.engine.program.functional import op_name
from secateur.engine.program.module import resolve


@dataclass(frozen=True)
class Resized:
    """One call in the original and the new graph.

    Attributes:
        node: Call in the original graph.
        copied: Call in the new graph, whose literals are updated.
        analysis: Analysis of the original graph.
        is_kept: Mask over atoms, True = keep.
        tensors: Tensors of the new program, by name. Stored positions are replaced in it.
        renumbered: Receives the nodes that read or copy positions that were replaced.
    """

    node: fx.Node
    copied: fx.Node
    analysis: Analysis
    is_kept: np.ndarray
    tensors: dict[str, Tensor]
    renumbered: set[fx.Node]

    def kept(self, value: Any, dim: int) -> np.ndarray | None:  # noqa: ANN401  # a node or a number
        """Return a mask over the indices of a value's dimension; None without a label."""
        labels = self.analysis.labels.get(value) if isinstance(value, fx.Node) else None
        ids = labels.get(dim) if isinstance(labels, dict) else None
        if ids is None:
            return None
        index = ids.numpy()
        return np.where(index < 0, True, self.is_kept[index])  # noqa: FBT003  # an array of bool

    def literal(self, index: int, name: str, default: Any = None) -> Any:  # noqa: ANN401  # literal
        """Return an argument of the original call with nodes replaced by numbers."""
        given = self.node.args[index] if len(self.node.args) > index else None
        value = self.node.kwargs.get(name, default) if given is None else given
        return resolve(value, self.analysis.shapes)

    def store(self, given: fx.Node, tensor: Tensor) -> fx.Node | None:
        """Replace the stored tensor that an argument reads, for this call.

        Returns None if the argument reads the new one as it is. If other calls read the old one,
        the new one gets a name of its own, and the node that reads it is returned.
        """
        chain = [given]  # copies of the tensor, and the node that reads it
        while op_name(chain[-1].target) in COPIES:
            chain.append(chain[-1].args[0])  # type: ignore[arg-type]
        name = str(chain[-1].target)
        readers = [node for node in self.node.graph.nodes if node.target == name and node.users]
        if readers == chain[-1:] and all(len(node.users) == 1 for node in chain):
            self.tensors[name] = tensor
            self.renumbered.update(chain)
            return None
        name = f"{name if chain[-1].op == 'get_attr' else given.name}_kept"
        number = 1
        while f"{name}_{number}" in self.tensors:
            number += 1
        self.tensors[f"{name}_{number}"] = tensor
        with self.copied.graph.inserting_before(self.copied):
            return self.copied.graph.get_attr(f"{name}_{number}")

    def set_argument(self, index: int, value: Any) -> None:  # noqa: ANN401  # literal
        """Replace a positional argument of the new call."""
        self.copied.args = (*self.copied.args[:index], value, *self.copied.args[index + 1 :])
