"""Scales from values to coordinates, and ticks of an axis."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from app.drawing.numbers import power_of_ten, signed

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Tick:
    """Position of a value on an axis, and its label."""

    at: float
    label: str


@dataclass(frozen=True)
class Scale:
    """Maps [low, high] to [start, end]; both may be descending.

    Attributes:
        low: Value at ``start``.
        high: Value at ``end``; different from ``low``.
        start: Coordinate in units of the picture.
        end: Coordinate in units of the picture.
        is_log: True for a logarithmic scale; low and high are then positive.
    """

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def at(self, value: float) -> float:
        """Return the coordinate of a value, rounded to a tenth of a unit."""
        low, high = self._turned(self.low), self._turned(self.high)
        share = (self._turned(value) - low) / (high - low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, num_steps: int = 4) -> tuple[Tick, ...]:
        """Return round values within the scale."""
        values = self._decades() if self.is_log else self._round_values(num_steps)
        return tuple(Tick(self.at(value), self._label(value)) for value in values)

    def _turned(self, value: float) -> float:
        return math.log10(value) if self.is_log else value

    def _decades(self) -> list[float]:
        powers = range(
            math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1
        )
        return [10.0**power for power in powers]

    def _round_values(self, num_steps: int) -> list[float]:
        step = _round_step((self.high - self.low) / num_steps)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [k * step for k in range(first, last + 1)]

    def _label(self, value: float) -> str:
        return power_of_ten(round(math.log10(value))) if self.is_log else signed(f"{value:.6g}")


def spanning(values: Iterable[float], start: float, end: float, margin: float = 0.06) -> Scale:
    """Return a scale that contains all values, with a margin at both ends."""
    found = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(found), max(found)
    room = margin * (high - low) or 0.5 * abs(high) or 0.5
    return Scale(low - room, high + room, start, end)


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return power * next(factor for factor in _STEPS if factor * power >= step * (1 - 1e-9))
