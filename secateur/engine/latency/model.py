"""Latency of a program as a function of its widths: a sum of measured layers.

Only convolutions and linear layers are measured one by one. The remaining time of the dense network
(activations, pooling, attention) is scaled with the size of the values that those operators make.
"""

import itertools
from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import torch
from torch import fx

from secateur.engine.graph.analysis import Analysis
from secateur.engine.graph.cost import (
    Count,
    Counts,
    Orders,
    Term,
    Widths,
    WidthSum,
    product_term,
)
from secateur.engine.latency.timer import LayerShape, LayerTimer
from secateur.engine.program.functional import op_name
from secateur.engine.program.module import resolve
from secateur.engine.program.program import Program
from secateur.engine.program.shapes import ANALYSIS_BATCH

_CONVOLUTIONS = {
    **{f"conv{d}d": "conv" for d in (1, 2, 3)},
    **{f"conv_transpose{d}d": "conv_transpose" for d in (1, 2, 3)},
}
_MAX_CANDIDATES = 16  # measured widths per family
_FINEST_STEP = 4
_TOLERANCE = 0.03  # relative difference between measurements of the same layer


class LatencyModel:
    """Latency model that measures layers on demand.

    Attributes:
        dense_seconds: Measured time of one call of the whole dense network.
        batch_size: Samples per call.
    """

    def __init__(
        self,
        program: Program,
        analysis: Analysis,
        timer: LayerTimer,
        dense_seconds: float,
        batch_size: int = 1,
    ) -> None:
        self._program, self._analysis, self._timer = program, analysis, timer
        self.dense_seconds, self.batch_size = dense_seconds, batch_size

    def seconds_by_width(self, orders: Orders) -> WidthSum:
        """Return the predicted seconds of one call as a function of widths.

        The prediction equals the measured `dense_seconds` at full width.
        """
        layers = self._layers(orders)
        measured = WidthSum(layers, self._analysis)({})
        # A single layer reorders its input and output; a whole network does so only once.
        scale = min(1.0, self.dense_seconds / measured) if measured > 0 else 1.0
        terms = [Term(t.families, lambda w, t=t: scale * t.at(w)) for t in layers]  # type: ignore[misc]
        terms += self._other_operators(orders, self.dense_seconds - scale * measured)
        return WidthSum(terms, self._analysis)

    def efficient_widths(self, name: str) -> tuple[int, ...]:
        """Return the efficient widths of a family, in descending order from full width.

        The layers that the family touches are timed at several widths, with all other families at
        full width. A width is efficient if it is faster than every wider one and lies on the lower
        convex hull of the times, within the noise: no mixture of a wider and a narrower width is
        as fast.
        """
        family = self._analysis.family(name)
        layers = [term for term in self._layers({}) if name in term.families]
        per_group = family.producers()[0].index_GK.shape[1]
        candidates = _candidates(family.num_groups, per_group)
        seconds = [sum(layer.at({name: width}) for layer in layers) for width in candidates]
        return tuple(_on_hull(candidates, seconds))

    def _layers(self, orders: Orders) -> list[Term]:
        counts = Counts(self._analysis, orders)
        terms = []
        for node in self._program.graph.nodes:
            shape = self._layer(node, counts) if node.op == "call_function" else None
            if shape is not None:
                families, at = shape
                terms.append(Term(families, lambda w, at=at: self._timer(at(w))))  # type: ignore[misc]
        return terms

    def _layer(
        self, node: fx.Node, counts: Counts
    ) -> tuple[tuple[str, ...], Callable[[Widths], LayerShape]] | None:
        name = op_name(node.target)
        if name in _CONVOLUTIONS:
            return self._convolution(node, counts)
        return self._linear(node, counts) if name == "linear" else None

    def _convolution(
        self, node: fx.Node, counts: Counts
    ) -> tuple[tuple[str, ...], Callable[[Widths], LayerShape]]:
        x, weight = node.args[0], node.args[1]
        assert isinstance(x, fx.Node)  # noqa: S101
        assert isinstance(weight, fx.Node)  # noqa: S101
        shapes = self._analysis.shapes
        space = tuple(shapes[x].shape[2:])
        kernel = tuple(shapes[weight].shape[2:])
        kind = _CONVOLUTIONS[op_name(node.target)]
        options = _window(node, shapes, len(space), kernel)
        groups = int(options.pop("groups"))
        in_channels, out_channels = counts.of_value(x, 1), counts.of_value(node, 1)
        is_depthwise = groups > 1 and groups == shapes[x].shape[1]

        def at(widths: Widths) -> LayerShape:
            num_in = in_channels.at(widths)
            return LayerShape(
                kind,  # type: ignore[arg-type]
                self.batch_size,
                num_in,
                out_channels.at(widths),
                num_in if is_depthwise else groups,
                space,
                kernel,
                **options,
            )

        return _families(in_channels, out_channels), at

    def _linear(
        self, node: fx.Node, counts: Counts
    ) -> tuple[tuple[str, ...], Callable[[Widths], LayerShape]]:
        x = node.args[0]
        assert isinstance(x, fx.Node)  # noqa: S101
        sizes = self._analysis.shapes[x].shape
        rows = max(1, prod(sizes[:-1]) // ANALYSIS_BATCH)
        last = len(sizes) - 1
        in_channels, out_channels = counts.of_value(x, last), counts.of_value(node, last)

        def at(widths: Widths) -> LayerShape:
            num_in, num_out = in_channels.at(widths), out_channels.at(widths)
            return LayerShape("linear", self.batch_size, num_in, num_out, space=(rows,))

        return _families(in_channels, out_channels), at

    def _other_operators(self, orders: Orders, seconds: float) -> list[Term]:
        """Return a term per other operator; they share ``seconds`` by the size of their results."""
        counts = Counts(self._analysis, orders)
        values = []
        for node in self._program.graph.nodes:
            value = self._analysis.shapes.get(node)
            if node.op != "call_function" or not isinstance(value, torch.Tensor):
                continue
            if op_name(node.target) not in _CONVOLUTIONS and op_name(node.target) != "linear":
                values.append([counts.of_value(node, dim) for dim in range(value.dim())])
        terms = [product_term(factors) for factors in values]
        whole = sum(term.at({}) for term in terms)
        if seconds <= 0 or whole == 0:
            return []
        share = seconds / whole
        return [Term(t.families, lambda w, t=t: share * t.at(w)) for t in terms]  # type: ignore[misc]


def _families(*counts: Count) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for count in counts for name in count.families))


def _window(
    node: fx.Node, shapes: Mapping[fx.Node, Any], rank: int, kernel: tuple[int, ...]
) -> dict[str, Any]:
    """Return stride, padding, dilation and groups of a convolution as numbers."""
    schema = node.target._schema  # type: ignore[union-attr]  # noqa: SLF001
    names = [argument.name for argument in schema.arguments]
    given = dict(zip(names, node.args, strict=False)) | node.kwargs
    found: dict[str, Any] = {"groups": resolve(given.get("groups", 1), shapes)}  # type: ignore[arg-type]
    for name, default in (("stride", 1), ("padding", 0), ("dilation", 1)):
        value = resolve(given.get(name, default), shapes)  # type: ignore[arg-type]
        found[name] = value
    if found["padding"] == "same":
        dilation = _each(found["dilation"], rank)
        found["padding"] = [gap * (k - 1) // 2 for gap, k in zip(dilation, kernel, strict=True)]
    elif isinstance(found["padding"], str):
        found["padding"] = 0
    for name in ("stride", "padding", "dilation"):
        found[name] = _each(found[name], rank)
    return found


def _each(value: int | list[int], rank: int) -> tuple[int, ...]:
    values = [value] if isinstance(value, int) else list(value)
    return tuple(values) if len(values) == rank else (values[0],) * rank


def _candidates(num_groups: int, per_group: int) -> list[int]:
    """Return the widths to measure, descending: full width, then multiples of a step.

    The step is a power of two where possible, like the channel blocks of kernels.
    """
    step = _FINEST_STEP
    while num_groups * per_group > step * _MAX_CANDIDATES:
        step *= 2
    step = max(1, step // per_group)
    return [num_groups, *range((num_groups - 1) // step * step, 0, -step)]


def _on_hull(widths: list[int], seconds: list[float]) -> list[int]:
    """Return the widths that are faster than all wider ones and near the lower convex hull."""
    hull: list[tuple[int, float]] = []
    for point in zip(reversed(widths), reversed(seconds), strict=True):  # ascending
        while len(hull) > 1 and _turns_down(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    kept = [widths[0]]
    fastest = seconds[0]
    for width, taken in zip(widths[1:], seconds[1:], strict=True):
        is_faster = taken < (1 - _TOLERANCE) * fastest  # than every wider one
        if is_faster and taken <= (1 + _TOLERANCE) * _height(hull, width):
            kept.append(width)
        fastest = min(fastest, taken)
    return kept


def _turns_down(a: tuple[int, float], b: tuple[int, float], c: tuple[int, float]) -> bool:
    return (b[1] - a[1]) * (c[0] - a[0]) >= (c[1] - a[1]) * (b[0] - a[0])


def _height(hull: list[tuple[int, float]], width: int) -> float:
    for (x0, y0), (x1, y1) in itertools.pairwise(hull):
        if x0 <= width <= x1:
            return y0 + (y1 - y0) * (width - x0) / (x1 - x0)
    return hull[0][1]
