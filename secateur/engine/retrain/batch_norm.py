"""BatchNorm's running statistics: estimated anew, and kept up to date while training.

Pruning changes what flows into every layer, and until the statistics follow, a pruned network is
near chance. They are estimated before and after retraining, and by whoever compares pruned
networks; that needs no labels.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx

from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program

_BATCH_NORM = torch.ops.aten.batch_norm.default
_MEAN, _VARIANCE, _TRAINING, _MOMENTUM = 3, 4, 5, 6
_LEAST_MOMENTUM = 0.1  # torch's own default


def recalibrate(program: Program, batches: Iterable[Tensor]) -> Program:
    """Return the program with statistics averaged over ``batches``; everything else is the same.

    The average over batches is cumulative and weighted by their sizes: what training with
    ``momentum=None`` would leave, with dropout off. Layers without statistics stay as they are, and
    without batches so does everything.
    """
    names = statistics(program)
    module = ProgramModule(_measuring(program), copy=True).eval()
    sums = {name: torch.zeros_like(program.tensors[name], dtype=torch.float64) for name in names}
    num_samples = 0
    with torch.inference_mode():
        for x in batches:
            module.run((x,))
            num_samples += len(x)
            for name in names:
                sums[name] += module.tensor(name).double() * len(x)
    if not num_samples:
        return program
    means = {n: (s / num_samples).to(program.tensors[n].dtype) for n, s in sums.items()}
    return program.with_tensors({**program.tensors, **means})


def follow_closely(target: object, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a call's arguments; BatchNorm's with a momentum that a short training can do with.

    Networks that were pretrained for a million steps often have 0.01, as TensorFlow does, and
    ``momentum=None`` is exported as 0. Retraining has a few hundred steps: EfficientNet-Lite0 was
    validated with statistics so old that its loss was 486 after an epoch (1.2 in training).
    """
    if target is not _BATCH_NORM or not arguments[_MOMENTUM] < _LEAST_MOMENTUM:
        return arguments
    return (*arguments[:_MOMENTUM], _LEAST_MOMENTUM, *arguments[_MOMENTUM + 1 :])


def statistics(program: Program) -> list[str]:
    """Return the names of all running means and variances, in the order of the graph."""
    names: dict[str, None] = {}
    for node in program.graph.nodes:
        if has_statistics(node):
            names |= {str(node.args[i].target): None for i in (_MEAN, _VARIANCE)}
    return list(names)


def has_statistics(node: fx.Node) -> bool:
    """Return whether a call is a BatchNorm with running statistics."""
    if node.target is not _BATCH_NORM:
        return False
    return all(isinstance(node.args[i], fx.Node) for i in (_MEAN, _VARIANCE))


def _measuring(program: Program) -> Program:
    # With momentum 1 a forward pass leaves exactly the batch's own statistics in the buffers.
    graph = fx.Graph()
    graph.output(graph.graph_copy(program.graph, {}))
    for node in graph.nodes:
        if has_statistics(node):
            arguments = list(node.args)
            arguments[_TRAINING], arguments[_MOMENTUM] = True, 1.0
            node.args = tuple(arguments)
    return replace(program, graph=graph)
