"""Compaction: remove pruned slices from the tensors, and shrink literal sizes in the graph.

The labels give the expected shape of every value. Shape propagation over the smaller program either
confirms every node or names the first wrong one.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from secateur.engine.errors import EquivalenceError, ModelRejectedError
from secateur.engine.graph.analysis import Analysis
from secateur.engine.graph.propagate import Labels
from secateur.engine.plan import Plan, check_fits
from secateur.engine.program.functional import op_name
from secateur.engine.program.program import Program, Role
from secateur.engine.program.shapes import Shapes, propagate, where
from secateur.engine.surgery.literals import REWRITES
from secateur.engine.surgery.resized import Resized


def compact(program: Program, analysis: Analysis, plan: Plan) -> Program:
    """Return the smaller program, which is equivalent to the masked twin.

    Args:
        program: Original program, or one with the same graph and other tensors.
        analysis: Analysis of the same graph.
        plan: Channel groups to keep.

    Raises:
        PlanError: The plan is for another graph.
        EquivalenceError: A value has the wrong shape; this is a defect of Secateur.
    """
    return compact_with_copies(program, analysis, plan)[0]


def compact_with_copies(
    program: Program, analysis: Analysis, plan: Plan
) -> tuple[Program, dict[fx.Node, fx.Node]]:
    """Return the smaller program, and its copy of every node of the original graph.

    Raises:
        PlanError: The plan is for another graph.
        EquivalenceError: A value has the wrong shape; this is a defect of Secateur.
    """
    check_fits(plan, program)
    keeps = plan.keeps()
    is_kept = analysis.kept_atoms(keeps)
    tensors = dict(program.tensors)
    for (name, dim), kept in analysis.kept_indices(keeps).items():
        index = torch.from_numpy(kept).to(tensors[name].device)
        tensors[name] = tensors[name].index_select(dim, index)
    renumbered: set[fx.Node] = set()
    graph, copies = _rewrite(program, analysis, is_kept, tensors, renumbered)
    roles = {name: program.roles.get(name, Role.CONSTANT) for name in tensors}
    smaller = replace(program, graph=graph, tensors=tensors, roles=roles)
    try:
        shapes = propagate(smaller)
    except ModelRejectedError as error:  # the dense network was accepted, so compaction is wrong
        raise _defect(str(error)) from error
    checked = {node: copy for node, copy in copies.items() if node not in renumbered}
    _confirm(checked, shapes, analysis, is_kept)
    return smaller, copies


def _defect(what: str) -> EquivalenceError:
    return EquivalenceError(
        f"the smaller network does not fit together: {what}. This is a defect of Secateur, not of "
        "your model: please report it with the model file and the config. Until it is fixed, "
        "exclude the layers before that line with selection.exclude"
    )


def _rewrite(
    program: Program,
    analysis: Analysis,
    is_kept: np.ndarray,
    tensors: dict[str, Tensor],
    renumbered: set[fx.Node],
) -> tuple[fx.Graph, dict[fx.Node, fx.Node]]:
    """Return the new graph, and the copy of every node of the old graph.

    Stored positions of channels are replaced in ``tensors``; ``renumbered`` receives their readers.
    """
    graph = fx.Graph()
    values: dict[fx.Node, fx.Node] = {}
    for node in program.graph.nodes:
        copied = graph.node_copy(node, values.__getitem__)
        values[node] = copied
        rewrite = REWRITES.get(op_name(node.target)) if node.op == "call_function" else None
        if rewrite is not None:
            values[node] = (
                rewrite(Resized(node, copied, analysis, is_kept, tensors, renumbered)) or copied
            )
    return graph, values


def _confirm(
    copies: dict[fx.Node, fx.Node],
    actual: Shapes,
    analysis: Analysis,
    is_kept: np.ndarray,
) -> None:
    counts: dict[int, int] = {}  # by identity of the label: neighbouring values share labels

    def count(ids: Tensor) -> int:
        found = counts.get(id(ids))
        if found is None:
            index = ids.numpy()
            found = int(np.count_nonzero(is_kept[index] | (index < 0)))
            counts[id(ids)] = found
        return found

    for node, copied in copies.items():
        if node.op == "output":
            continue
        expected = _expected(analysis.shapes[node], analysis.labels.get(node, {}), count)
        found = _shapes(actual[copied])
        if expected != found:
            raise _defect(f"{where(node)} has the shape {found}, expected {expected}")


def _expected(
    value: Any,  # noqa: ANN401  # a tensor, several, or a number
    labels: Labels | list[Labels],
    count: Callable[[Tensor], int],
) -> Any:  # noqa: ANN401
    if isinstance(value, Tensor):
        shape = list(value.shape)
        for dim, ids in labels.items() if isinstance(labels, dict) else ():
            shape[dim] = count(ids)
        return tuple(shape)
    if isinstance(value, (list, tuple)):
        each = labels if isinstance(labels, list) else [{}] * len(value)
        return [_expected(v, found, count) for v, found in zip(value, each, strict=True)]
    return None


def _shapes(value: Any) -> Any:  # noqa: ANN401  # a tensor, several, or a number
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, (list, tuple)):
        return [_shapes(item) for item in value]
    return None
