"""A call whose channels were removed: the original, its copy, and the mask of what stays."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import fx

from secateur.engine.graph.analysis import Analysis
from secateur.engine.program.module import resolve


@dataclass(frozen=True)
class Resized:
    """One call in the original and the new graph.

    Attributes:
        node: Call in the original graph.
        copied: Call in the new graph, whose literals are updated.
        analysis: Analysis of the original graph.
        is_kept: Mask over atoms, True = keep.
    """

    node: fx.Node
    copied: fx.Node
    analysis: Analysis
    is_kept: np.ndarray

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

    def set_argument(self, index: int, value: Any) -> None:  # noqa: ANN401  # literal
        """Replace a positional argument of the new call."""
        self.copied.args = (*self.copied.args[:index], value, *self.copied.args[index + 1 :])
