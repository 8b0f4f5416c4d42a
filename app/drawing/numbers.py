"""Format numbers with few digits for readers. Equal numbers give equal text."""

import math

_MINUS = "\N{MINUS SIGN}"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_PLAIN_POWERS = range(-4, 6)  # powers of ten written without an exponent


def significant(value: float, digits: int = 3) -> str:
    """Format a number with ``digits`` significant digits: 0.0123, 4.56, 789."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    power = math.floor(math.log10(rounded(value, digits)))
    if power not in _PLAIN_POWERS:
        return scientific(value)
    return signed(f"{value:.{max(0, digits - 1 - power)}f}")


def scientific(value: float) -> str:
    """Format a number in scientific notation: a two-digit mantissa and a power of ten."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return signed(f"{mantissa} \N{MULTIPLICATION SIGN} ") + power_of_ten(int(exponent))


def power_of_ten(exponent: int) -> str:
    """Format a power of ten: 10⁻³ for -3."""
    return "10" + str(exponent).translate(_SUPERSCRIPTS)


def signed(text: str) -> str:
    """Replace hyphens with minus signs, which are as wide as a plus."""
    return text.replace("-", _MINUS)


def rounded(value: float, digits: int = 3) -> float:
    """Round the magnitude to ``digits`` significant digits: 999,999 becomes a million."""
    return float(f"{abs(value):.{digits - 1}e}")
