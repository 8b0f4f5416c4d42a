"""Numbers in a few digits, as people read them; the same number is always the same text."""

import math

_MINUS = "\N{MINUS SIGN}"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_PLAIN_POWERS = range(-4, 6)  # what still reads well without an exponent


def significant(value: float, digits: int = 3) -> str:
    """Return a number in a few digits: 0.0123, 4.56, 789."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    power = math.floor(math.log10(rounded(value, digits)))
    if power not in _PLAIN_POWERS:
        return scientific(value)
    return signed(f"{value:.{max(0, digits - 1 - power)}f}")


def scientific(value: float) -> str:
    """Return a number as a power of ten times what is before it, two digits of it."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return signed(f"{mantissa} \N{MULTIPLICATION SIGN} ") + power_of_ten(int(exponent))


def power_of_ten(exponent: int) -> str:
    """Return 10⁻³ for -3."""
    return "10" + str(exponent).translate(_SUPERSCRIPTS)


def signed(text: str) -> str:
    """Return a number with a minus sign that is as wide as a plus."""
    return text.replace("-", _MINUS)


def rounded(value: float, digits: int = 3) -> float:
    """Return the magnitude as it will be written: 999,999 is a million."""
    return float(f"{abs(value):.{digits - 1}e}")
