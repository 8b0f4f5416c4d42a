"""Unfolding: BatchNorm behind convolutions whose own was folded, for the time of a training.

Exporters fold BatchNorm into the convolution before it. Training such a network is brittle: nothing
keeps its activations in range, and it has no statistics to measure again. `unfold` puts a BatchNorm
behind each of these convolutions (Ioffe and Szegedy 2015, arXiv:1502.03167). It is the identity at
first: its scale and shift are deviation and mean of calibration samples. `Unfolded.fold` takes it
out again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, fx

from secateur.engine.errors import EquivalenceError
from secateur.engine.program.chunks import whole_chunks
from secateur.engine.program.folded import folded_convolutions
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program, Role
from secateur.engine.surgery.certificate import deviation

_EPSILON, _MOMENTUM = 1e-5, 0.1
_TOLERANCE = 1e-4  # relative, in float64; weights are rounded to their own type
_ROLES = {
    "weight": Role.PARAMETER,
    "bias": Role.PARAMETER,
    "running_mean": Role.BUFFER,
    "running_var": Role.BUFFER,
}


@dataclass(frozen=True)
class Layer:
    """Names of a convolution's weight and bias, and of the BatchNorm behind it."""

    weight: str
    bias: str
    norm: str

    def norm_tensors(self, program: Program) -> dict[str, Tensor]:
        """Return BatchNorm's tensors by their last name, in its order of arguments."""
        return {part: program.tensors[f"{self.norm}.{part}"] for part in _ROLES}


@dataclass(frozen=True)
class Unfolded:
    """A network with BatchNorm for training.

    Attributes:
        program: The network with BatchNorm.
        original: The network without; both return the same.
        layers: The convolutions that got one.
        batch: Samples on which the two are compared.
    """

    program: Program
    original: Program
    layers: tuple[Layer, ...]
    batch: Tensor

    def fold(self, trained: Program) -> Program:
        """Return the original graph with the weights of a trained network.

        Raises:
            EquivalenceError: The two return different outputs.
        """
        found = {name: trained.tensors[name] for name in self.original.tensors}
        for layer in self.layers:
            scale, shift, mean, variance = (
                tensor.double() for tensor in layer.norm_tensors(trained).values()
            )
            weight, bias = found[layer.weight], found[layer.bias]
            factor = scale / torch.sqrt(variance + _EPSILON)
            rows = factor.view(-1, *[1] * (weight.dim() - 1))
            found[layer.weight] = (weight.double() * rows).to(weight.dtype)
            found[layer.bias] = ((bias.double() - mean) * factor + shift).to(bias.dtype)
        folded = self.original.with_tensors(found)
        home = next(iter(trained.tensors.values())).device
        error = _difference(trained, folded, self.batch.to(home))
        if not error <= _TOLERANCE:
            raise EquivalenceError(
                f"folding BatchNorm into the convolutions changed the outputs by {error:.3g} of "
                f"their largest value, more than {_TOLERANCE:g}"
            )
        return folded


def unfold(program: Program, batches: Sequence[Tensor]) -> Unfolded | None:
    """Return a network with BatchNorm behind its convolutions.

    None if none of them seems to have had one, or if rounding would change the outputs.

    Args:
        program: A network whose BatchNorm an exporter has folded.
        batches: Calibration inputs (N, …).
    """
    convolutions = folded_convolutions(program)
    if not convolutions or not batches:
        return None
    moments = _measure(program, convolutions, batches)
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    graph.output(graph.graph_copy(program.graph, copies))
    tensors, roles = dict(program.tensors), dict(program.roles)
    layers = []
    for node in convolutions:
        layer = _layer(node, tensors)
        values = _identity(*moments[node], like=tensors[layer.bias])
        tensors |= {f"{layer.norm}.{part}": value for part, value in values.items()}
        roles |= {f"{layer.norm}.{part}": role for part, role in _ROLES.items()}
        _insert(graph, copies[node], layer)
        layers.append(layer)
    unfolded = replace(program, graph=graph, tensors=tensors, roles=roles)
    if not _difference(program, unfolded, batches[0]) <= _TOLERANCE:
        return None
    return Unfolded(unfolded, program, tuple(layers), batches[0])


def _layer(node: fx.Node, tensors: Iterable[str]) -> Layer:
    weight, bias = (str(node.args[place].target) for place in (1, 2))  # type: ignore[union-attr]
    base = norm = f"{weight.replace('.', '_')}_batch_norm"
    number = 1
    while any(name == norm or name.startswith(f"{norm}.") for name in tensors):
        number += 1
        norm = f"{base}_{number}"
    return Layer(weight, bias, norm)


def _identity(mean: Tensor, variance: Tensor, like: Tensor) -> dict[str, Tensor]:
    """Return the tensors of a BatchNorm that returns its input, for statistics (C,) in float64."""
    rounded = variance.to(like.dtype)
    scale = torch.sqrt(rounded.double() + _EPSILON)
    values = (scale, mean, mean, rounded)
    return {
        part: value.to(like.dtype, copy=True) for part, value in zip(_ROLES, values, strict=True)
    }


def _insert(graph: fx.Graph, convolution: fx.Node, layer: Layer) -> None:
    """Let every reader of a convolution read a BatchNorm of it."""
    with graph.inserting_before(convolution.next):
        reads = [graph.get_attr(f"{layer.norm}.{part}") for part in _ROLES]
        norm = graph.call_function(
            torch.ops.aten.batch_norm.default,
            (convolution, *reads, False, _MOMENTUM, _EPSILON, True),
        )
    convolution.replace_all_uses_with(norm, delete_user_cb=lambda user: user is not norm)


@torch.no_grad()
def _measure(
    program: Program, nodes: Sequence[fx.Node], batches: Sequence[Tensor]
) -> dict[fx.Node, tuple[Tensor, Tensor]]:
    """Return the mean and the variance (C,) of some values (N, C, …) over all batches."""
    module = ProgramModule(program, copy=False).eval()
    sums: dict[fx.Node, list[Tensor]] = {node: [] for node in nodes}
    for inputs in whole_chunks([(batch,) for batch in batches], program.batch_size):
        values = module.start(inputs)
        for step in module.steps:
            module.run_steps(values, [step])
            if step[0] in sums:
                x_CN = values[step[0]].movedim(1, 0).flatten(1).double()
                counted = torch.full_like(x_CN[:, 0], x_CN.shape[1])
                sums[step[0]].append(
                    torch.stack([counted, x_CN.mean(1), x_CN.var(1, correction=0)])
                )
    return {node: _pooled(torch.stack(parts)) for node, parts in sums.items()}


def _pooled(parts_B3C: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the variance over batches, from their counts, means and variances."""
    count_BC, mean_BC, variance_BC = parts_B3C.unbind(1)
    share_BC = count_BC / count_BC.sum(0)
    mean_C = (share_BC * mean_BC).sum(0)
    return mean_C, (share_BC * (variance_BC + (mean_BC - mean_C).square())).sum(0)


def _difference(a: Program, b: Program, batch: Tensor) -> float:
    return deviation(a, b, [(batch,)], torch.float64).max_relative_error
