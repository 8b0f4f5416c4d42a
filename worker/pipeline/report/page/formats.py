"""Formats numbers for readers; equal numbers give equal text."""

import math

from app.drawing.numbers import power_of_ten, rounded, scientific, signed, significant

__all__ = ["power_of_ten", "scientific", "signed", "significant"]

NOTHING = "\N{EN DASH}"
_UNITS = ("", "k", "M", "G", "T")
_EXACT_BELOW = 10_000


def count(value: int) -> str:
    """Return a count in full: 15,429,440."""
    return f"{value:,}"


def short(value: int) -> str:
    """Return a count in three digits and a unit: 15.4 M."""
    return f"{value:,}" if abs(value) < _EXACT_BELOW else " ".join(_with_unit(value))


def size(num_bytes: int) -> str:
    """Return bytes in three digits and a unit: 277 kB."""
    number, unit = _with_unit(num_bytes)
    return f"{number} {unit}B"


def percent(share: float | None, digits: int = 2) -> str:
    """Return a share in percent: 92.44 %."""
    return NOTHING if share is None else signed(f"{100 * share:.{digits}f} %")


def points(difference: float) -> str:
    """Return a difference of two shares in points, with its sign."""
    text = f"{100 * difference:+.2f}"
    return "±0.00 points" if float(text) == 0 else signed(f"{text} points")


def span(low: float, high: float, digits: int = 1) -> str:
    """Return an interval of a share in percent: 88.2 to 93.4 %."""
    return signed(f"{100 * low:.{digits}f} to {100 * high:.{digits}f} %")


def points_span(low: float, high: float) -> str:
    """Return an interval of a difference of two shares in points: +0.1 to +0.7."""
    return signed(f"{100 * low:+.2f} to {100 * high:+.2f}")


def seconds(value: float) -> str:
    """Return a time in milliseconds, or in seconds if it is at least one second."""
    return f"{significant(value)} s" if value >= 1 else f"{significant(1000 * value)} ms"


def _with_unit(value: float) -> tuple[str, str]:
    size = rounded(value)
    power = 0 if size < 1 else min(len(_UNITS) - 1, int(math.log10(size) // 3))
    number = value / 1000**power
    return (f"{number:g}" if power == 0 else significant(number)), _UNITS[power]
