"""Equivalence certificate: compares the compacted program with its masked twin, on every job."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx

from secateur.engine.errors import EquivalenceError
from secateur.engine.program.macs import mac_terms, num_macs
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program
from secateur.engine.program.shapes import num_analysed, propagate
from secateur.engine.program.walk import bytes_per_sample

FLOAT64_TOLERANCE = 1e-9
_MOST_MACS = 2**37  # of all samples, in one pass of one network: eight samples of VGG-16
_MOST_BYTES = 2**32  # of the values that live at the same time, in float64

Batch = tuple[Tensor, ...]


@dataclass(frozen=True)
class Deviation:
    """Largest difference between two programs, over all outputs and batches.

    Attributes:
        max_absolute_error: Largest absolute difference.
        max_relative_error: Largest difference relative to the largest magnitude of its output.
    """

    max_absolute_error: float
    max_relative_error: float


@dataclass(frozen=True)
class Certificate:
    """Result of comparing a compacted program with its masked twin.

    Attributes:
        is_exact: Whether the two must agree, because no pruned group is inexact.
        inexact_ops: Operators whose remaining values change when channels are removed.
        float64: Deviation in double precision.
        float32: Deviation in single precision.
        num_samples: Number of compared samples, random and real.
    """

    is_exact: bool
    inexact_ops: tuple[str, ...]
    float64: Deviation
    float32: Deviation
    num_samples: int

    def __str__(self) -> str:
        """Return the result as one line of text."""
        ops = f" ({', '.join(self.inexact_ops)} compute over pruned channels)"
        return (
            f"Certificate: {'exact' if self.is_exact else 'inexact' + ops}; pruned network and "
            f"masked twin differ by at most {self.float64.max_relative_error:.1e} relative in "
            f"float64 and {self.float32.max_relative_error:.1e} in float32, on "
            f"{self.num_samples} samples"
        )


def num_certified(program: Program, most: int) -> int:
    """Return how many samples to compare: at most ``most``, fewer of networks on volumes or videos.

    Each sample compares every channel at every position, so one is enough to find a wrong slice.
    """
    shapes = propagate(program)
    macs = sum(num_macs(term, shapes) for term in mac_terms(program, shapes))
    by_macs = _MOST_MACS * num_analysed(program) // max(1, macs)
    by_memory = _MOST_BYTES // (2 * bytes_per_sample(program))
    return max(1, min(most, by_macs, by_memory))


def certify(
    masked: Program,
    compacted: Program,
    batches: Sequence[Batch],
    inexact_ops: tuple[str, ...] = (),
) -> Certificate:
    """Compare the compacted program with its masked twin in float64 and float32.

    Args:
        masked: Original graph with every removed slice set to zero.
        compacted: Smaller program.
        batches: Random and real inputs.
        inexact_ops: Operators of pruned groups whose values may change.

    Raises:
        EquivalenceError: ``inexact_ops`` is empty, and the two differ by more than 1e-9 relative in
            float64, or an output is not finite.
    """
    float64 = deviation(masked, compacted, batches, torch.float64)
    float32 = deviation(masked, compacted, batches, torch.float32)
    if not inexact_ops and not float64.max_relative_error <= FLOAT64_TOLERANCE:
        raise EquivalenceError(
            "the compacted network differs from its masked twin by "
            f"{float64.max_relative_error:.3g} relative in float64, "
            f"more than {FLOAT64_TOLERANCE:g}"
        )
    num_samples = sum(len(batch[0]) for batch in batches)
    return Certificate(not inexact_ops, inexact_ops, float64, float32, num_samples)


@torch.no_grad()
def deviation(a: Program, b: Program, batches: Sequence[Batch], dtype: torch.dtype) -> Deviation:
    """Return the deviation of two programs that both compute in ``dtype``."""
    modules = [ProgramModule(_cast(p, dtype), copy=False).eval() for p in (a, b)]
    absolute = relative = 0.0
    for batch in batches:
        inputs = tuple(x.to(dtype) if x.is_floating_point() else x for x in batch)
        with _default_dtype(dtype):
            outputs = [module.run(inputs) for module in modules]
        for x, y in zip(*outputs, strict=True):
            if not isinstance(x, Tensor) or not x.is_floating_point():
                continue
            error = float((x - y).abs().max())
            largest = float(x.abs().max())
            absolute = max(absolute, error)
            # Keep NaN: comparisons with NaN are false, so max() could drop it.
            ratio = error / largest if largest > 0 else error
            relative = ratio if not ratio <= relative else relative
    return Deviation(absolute, relative)


@torch.no_grad()
def outputs_in(program: Program, batch: Batch, dtype: torch.dtype) -> list[Any]:
    """Return a program's flat outputs, computed in ``dtype``."""
    module = ProgramModule(_cast(program, dtype), copy=False).eval()
    with _default_dtype(dtype):
        return module.run(tuple(x.to(dtype) if x.is_floating_point() else x for x in batch))


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Set the default type, which operators such as ``arange`` use, to ``dtype``."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _cast(program: Program, dtype: torch.dtype) -> Program:
    """Return the program converted to ``dtype``, including explicit casts in the graph."""
    graph = fx.Graph()
    graph.output(graph.graph_copy(program.graph, {}))
    for node in graph.nodes:
        node.args = _cast_literals(node.args, dtype)
        node.kwargs = {name: _cast_literals(v, dtype) for name, v in node.kwargs.items()}
    cast = program.map_tensors(lambda t: t.to(dtype) if t.is_floating_point() else t)
    inputs = tuple(
        replace(spec, dtype=dtype) if spec.dtype.is_floating_point else spec
        for spec in program.inputs
    )
    return replace(cast, graph=graph, inputs=inputs)


def _cast_literals(value: Any, dtype: torch.dtype) -> Any:  # noqa: ANN401  # any literal
    if isinstance(value, torch.dtype) and value.is_floating_point:
        return dtype
    if isinstance(value, (list, tuple)):
        return type(value)(_cast_literals(item, dtype) for item in value)
    return value
