"""Latency of a program as a function of its widths: a sum of measured layers.

Only convolutions and linear layers are measured one by one. The remaining time of the dense network
(activations, pooling, attention) is scaled with the size of the values that those operators make.
"""

import itertools
from collections.abc import Callable

import torch

from secateur.engine.graph.analysis import Analysis
from secateur.engine.graph.cost import (
    Counts,
    Keeps,
    Orders,
    Term,
    WidthSum,
    as_widths,
    product_term,
)
from secateur.engine.latency.layers import candidate_widths, find_layers, is_layer
from secateur.engine.latency.timer import LayerShape
from secateur.engine.program.program import Program

_TOLERANCE = 0.03  # relative difference between measurements of the same layer

Timer = Callable[[LayerShape], float]  # seconds of one call


class LatencyModel:
    """Latency model that measures layers on demand.

    Attributes:
        dense_seconds: Time of one call of the whole dense network; None: the sum of its layers.
        batch_size: Samples per call.
    """

    def __init__(  # noqa: PLR0913  # a network, and what is measured
        self,
        program: Program,
        analysis: Analysis,
        timer: Timer,
        dense_seconds: float | None,
        batch_size: int = 1,
        dense_timer: Timer | None = None,
        *,
        own_seconds: float | None = None,
    ) -> None:
        """Prepare the model; nothing is measured yet.

        Args:
            program: The dense network.
            analysis: Its channel groups.
            timer: Seconds of a layer in the precision of the pruned network.
            dense_seconds: Time of the whole dense network; None: the sum of its layers.
            batch_size: Samples per call.
            dense_timer: Seconds of a layer in the dense network's precision, if that differs.
            own_seconds: Time of the whole network at full width in the pruned network's precision,
                if that differs. Without it nothing is known of conversions between int8 layers,
                and predictions leave them out.
        """
        self._program, self._analysis, self._timer = program, analysis, timer
        self._dense_timer, self.batch_size = dense_timer or timer, batch_size
        self._own_seconds = own_seconds
        if dense_seconds is None:
            dense_seconds = WidthSum(self._layers({}, self._dense_timer), analysis)({})
        self.dense_seconds = dense_seconds

    def seconds_by_width(self, orders: Orders) -> WidthSum:
        """Return the predicted seconds of one call as a function of widths.

        At full width it equals the measured time of the whole network in the same precision: the
        layers' times and a rest, which all other operators and conversions share.
        """
        whole, timer = self.dense_seconds, self._dense_timer
        if self._own_seconds is not None:
            whole, timer = self._own_seconds, self._timer
        layers = self._layers(orders, timer)
        measured = WidthSum(layers, self._analysis)({})
        # A single layer reorders its input and output; a whole network does so only once.
        scale = min(1.0, whole / measured) if measured > 0 else 1.0
        others = self._other_operators(orders, whole - scale * measured)
        if timer is not self._timer:  # integer layers are timed without reordering
            layers, scale = self._layers(orders), 1.0
        terms = [Term(t.families, lambda w, t=t: scale * t.at(w)) for t in layers]  # type: ignore[misc]
        return WidthSum([*terms, *others], self._analysis)

    def seconds(self, keeps: Keeps) -> float:
        """Return the predicted seconds of one call of a pruned network."""
        orders, widths = as_widths(keeps)
        return self.seconds_by_width(orders)(widths)

    def efficient_widths(self, name: str) -> tuple[int, ...]:
        """Return the efficient widths of a family, in descending order from full width.

        The layers that the family touches are timed at several widths, with all other families at
        full width. A width is efficient if it is faster than every wider one and lies on the lower
        convex hull of the times, within the noise: no mixture of a wider and a narrower width is
        as fast.
        """
        layers = [term for term in self._layers({}) if name in term.families]
        candidates = candidate_widths(self._analysis, name)
        seconds = [sum(layer.at({name: width}) for layer in layers) for width in candidates]
        return tuple(_on_hull(candidates, seconds))

    def _layers(self, orders: Orders, timer: Timer | None = None) -> list[Term]:
        chosen = timer or self._timer
        return [
            Term(layer.families, lambda w, at=layer.at: chosen(at(w)))  # type: ignore[misc]
            for layer in find_layers(self._program, self._analysis, orders, self.batch_size)
        ]

    def _other_operators(self, orders: Orders, seconds: float) -> list[Term]:
        """Return a term per other operator; they share ``seconds`` by the size of their results."""
        counts = Counts(self._analysis, orders)
        values = []
        for node in self._program.graph.nodes:
            value = self._analysis.shapes.get(node)
            if node.op != "call_function" or not isinstance(value, torch.Tensor):
                continue
            if not is_layer(node):
                values.append([counts.of_value(node, dim) for dim in range(value.dim())])
        terms = [product_term(factors) for factors in values]
        whole = sum(term.at({}) for term in terms)
        if seconds <= 0 or whole == 0:
            return []
        share = seconds / whole
        return [Term(t.families, lambda w, t=t: share * t.at(w)) for t in terms]  # type: ignore[misc]


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
