"""BatchNorm's running statistics: recalibration, and the momentum used in training.

Pruning changes the input of every layer. Until the running statistics are re-estimated, a pruned
network's accuracy is near chance. They are re-estimated before and after retraining, and before
pruned networks are compared. No labels are needed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx

from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program
from secateur.engine.program.walk import Walk, bytes_per_sample

_BATCH_NORM = torch.ops.aten.batch_norm.default
_MEAN, _VARIANCE, _TRAINING, _MOMENTUM = 3, 4, 5, 6
_LEAST_MOMENTUM = 0.1  # torch's own default
_MOST_BYTES = 2**31


def recalibrate(program: Program, batches: Iterable[Tensor]) -> Program:
    """Return the program with running statistics averaged over ``batches``; nothing else changes.

    If the program's batch stays fixed, they are those of all samples together, as far as the
    samples' values fit into 2 GiB: a batch of one has no statistics.

    The average is cumulative and weighted by batch size, as with ``momentum=None`` in training, but
    with dropout off. Layers without running statistics are left alone. With no such layers or no
    batches the program is returned as is.
    """
    names = statistics(program)
    if not names:
        return program
    if program.batch_size is not None:
        return _measured_together(program, batches)
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
    """Return a call's arguments, with BatchNorm's momentum raised to at least 0.1.

    Networks pretrained for a million steps often use a momentum of 0.01, TensorFlow's default, and
    ``momentum=None`` is exported as 0. Retraining has only a few hundred steps. With stale
    statistics, EfficientNet-Lite0 had a validation loss of 486 after one epoch (1.2 in training).
    """
    if target is not _BATCH_NORM or not arguments[_MOMENTUM] < _LEAST_MOMENTUM:
        return arguments
    return (*arguments[:_MOMENTUM], _LEAST_MOMENTUM, *arguments[_MOMENTUM + 1 :])


def statistics(program: Program) -> list[str]:
    """Return the names of all running means and variances, in graph order."""
    names: dict[str, None] = {}
    for node in program.graph.nodes:
        if has_statistics(node):
            names |= dict.fromkeys(statistics_of(node))
    return list(names)


def statistics_of(node: fx.Node) -> tuple[str, str]:
    """Return the names of the running mean and variance of a BatchNorm that has them."""
    return str(node.args[_MEAN].target), str(node.args[_VARIANCE].target)  # type: ignore[union-attr]


def measure_statistics(inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the mean and variance (C,) of a BatchNorm's inputs (N, C, …) over all batches."""
    columns = [x.movedim(1, 0).flatten(1) for x in inputs]
    count = sum(x_CN.shape[1] for x_CN in columns)
    mean = torch.stack([x_CN.sum(1, dtype=torch.float64) for x_CN in columns]).sum(0) / count
    squares = [(x_CN.double() - mean[:, None]).square().sum(1) for x_CN in columns]
    variance = torch.stack(squares).sum(0) / max(1, count - 1)
    return mean.to(inputs[0].dtype), variance.to(inputs[0].dtype)


def has_statistics(node: fx.Node) -> bool:
    """Return whether a node is a BatchNorm with running statistics."""
    if node.target is not _BATCH_NORM:
        return False
    return all(isinstance(node.args[i], fx.Node) for i in (_MEAN, _VARIANCE))


def _measured_together(program: Program, batches: Iterable[Tensor]) -> Program:
    most = max(1, _MOST_BYTES // bytes_per_sample(program))
    chosen: list[tuple[Tensor, ...]] = []
    for x in batches:
        chosen.append((x[:most],))
        most -= len(x)
        if most <= 0:
            break
    if not chosen:
        return program
    walk = Walk(program, chosen)
    for node in program.graph.nodes:
        if has_statistics(node):
            measured = measure_statistics(walk.of(node.args[0]))
            walk.tensors.update(zip(statistics_of(node), measured, strict=True))
        walk.run(node)
        walk.forget(node)
    return program.with_tensors(walk.tensors)


def _measuring(program: Program) -> Program:
    # With momentum 1, a forward pass leaves exactly the batch's own statistics in the buffers.
    graph = fx.Graph()
    graph.output(graph.graph_copy(program.graph, {}))
    for node in graph.nodes:
        if has_statistics(node):
            arguments = list(node.args)
            arguments[_TRAINING], arguments[_MOMENTUM] = True, 1.0
            node.args = tuple(arguments)
    return replace(program, graph=graph)
