"""Latencies of layers that were measured elsewhere, in place of `LayerTimer`."""

import bisect
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from secateur.engine.errors import PlanError
from secateur.engine.latency.timer import LayerShape, affordable

_Pair = tuple[int, int]  # input and output channels
_Line = list[tuple[int, float]]  # seconds by channels, ascending


class LatencyTable:
    """Seconds of layers by shape, with estimates between the measured widths.

    The time at two narrow widths is ``t(in, full) * t(full, out) / t(full, full)``: kernels loop
    over blocks of both. On an x86 server the median of estimate over measurement was 0.99 for 63
    pairs of seven convolutions, between 0.69 and 1.18. A width between two measured ones is
    interpolated linearly.
    """

    def __init__(self, seconds: Mapping[LayerShape, float]) -> None:
        self._kinds: dict[LayerShape, _Points] = {}
        self._cache: dict[LayerShape, float] = {}
        for shape, taken in seconds.items():
            points = self._kinds.setdefault(_kind(shape), _Points())
            points.add((shape.in_channels, shape.out_channels), taken)

    def __call__(self, shape: LayerShape) -> float:
        """Return the seconds of one call.

        Raises:
            PlanError: No such layer was measured.
        """
        found = self._cache.get(shape)
        if found is None:
            part = affordable(shape)
            found = self._seconds(part) * (shape.in_channels / part.in_channels)
            self._cache[shape] = found
        return found

    def _seconds(self, shape: LayerShape) -> float:
        points = self._kinds.get(_kind(shape))
        if points is None:
            raise PlanError(
                f"the latencies of the target have no row for {describe(shape)}",
                hint="Measure this model on the device: secateur bench MODEL, then "
                "secateur_bench.py there.",
            )
        pair = (shape.in_channels, shape.out_channels)
        is_one_line = shape.kind == "linear" or _is_depthwise(shape)
        return points.at(pair, is_one_line=is_one_line)


@dataclass
class _Points:
    """Measured widths of layers that are alike otherwise."""

    seconds: dict[_Pair, float] = field(default_factory=dict)
    by_in: dict[int, _Line] = field(default_factory=dict)  # of one output width
    by_out: dict[int, _Line] = field(default_factory=dict)  # of one input width
    by_work: _Line = field(default_factory=list)

    def add(self, pair: _Pair, taken: float) -> None:
        self.seconds[pair] = taken
        num_in, num_out = pair
        bisect.insort(self.by_in.setdefault(num_out, []), (num_in, taken))
        bisect.insort(self.by_out.setdefault(num_in, []), (num_out, taken))
        bisect.insort(self.by_work, (num_in * num_out, taken))

    def at(self, pair: _Pair, *, is_one_line: bool) -> float:
        """Return the seconds of a pair; ``is_one_line``: they depend on the product alone."""
        num_in, num_out = pair
        if pair in self.seconds:
            return self.seconds[pair]
        for whole in () if is_one_line else self._corners(pair):
            rows, columns = self.by_in[whole[1]], self.by_out[whole[0]]
            return _between(rows, num_in) * _between(columns, num_out) / self.seconds[whole]
        return _between(self.by_work, num_in * num_out)

    def _corners(self, pair: _Pair) -> list[_Pair]:
        """Return measured pairs from which narrower ones reach ``pair`` on both sides."""
        num_in, num_out = pair
        found = [
            (wide_in, wide_out)
            for wide_in, wide_out in self.seconds
            if wide_in >= num_in
            and wide_out >= num_out
            and self.by_in[wide_out][0][0] <= num_in
            and self.by_out[wide_in][0][0] <= num_out
        ]
        return sorted(found, key=lambda corner: corner[0] * corner[1])


def describe(shape: LayerShape) -> str:
    """Return a layer's shape in words."""
    sizes = "x".join(map(str, shape.space))
    if shape.kind == "linear":
        return f"a linear layer from {shape.in_channels} to {shape.out_channels}"
    kernel = "x".join(map(str, shape.kernel))
    groups = f", {shape.groups} groups" if shape.groups > 1 else ""
    return (
        f"a {kernel} {shape.kind} on {sizes} from {shape.in_channels} to {shape.out_channels} "
        f"channels{groups}"
    )


def _is_depthwise(shape: LayerShape) -> bool:
    return 1 < shape.groups == shape.in_channels


def _kind(shape: LayerShape) -> LayerShape:
    groups = 0 if _is_depthwise(shape) else shape.groups
    return replace(shape, in_channels=0, out_channels=0, groups=groups)


def _between(line: _Line, at: int) -> float:
    """Return a line's value; below its first point that of the first, as nothing is known there."""
    if at <= line[0][0]:
        return line[0][1]
    for (x0, y0), (x1, y1) in itertools.pairwise(line):
        if at <= x1:
            return y0 + (y1 - y0) * (at - x0) / (x1 - x0) if x1 > x0 else y1
    return line[-1][1] * at / line[-1][0]
