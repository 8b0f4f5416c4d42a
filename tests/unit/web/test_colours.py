"""Dashboard colours in both themes: text contrast, and chart lines under colour blindness.

Contrast is defined by WCAG 2.2. Colour blindness follows the model of Machado, Oliveira and
Fernandes (2009) at full severity. Distances are in OKLab (Ottosson 2020).
"""

import itertools
import re

import numpy as np
import pytest
from numpy.typing import NDArray

from app.web.assets import load_assets

Colour = NDArray[np.float64]  # sRGB in [0, 1], (3,)

_TEXT_CONTRAST = 4.5  # SC 1.4.3
_GRAPHICS_CONTRAST = 3.0  # SC 1.4.11
_MIN_DISTANCE = 0.11  # in OKLab; neighbouring shades of a hue on a colour chart are 0.02 apart

_VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def tokens(theme: str) -> dict[str, Colour]:
    """Return a theme's colours by name, read from the style sheet."""
    text = load_assets().files["css/tokens.css"].data.decode()
    found = re.findall(r"--([\w-]+): light-dark\(#(\w{6}), #(\w{6})\);", text)
    assert len(found) > 20
    return {name: parse(light if theme == "light" else dark) for name, light, dark in found}


def parse(digits: str) -> Colour:
    return np.array([int(digits[k : k + 2], 16) for k in (0, 2, 4)]) / 255


def linear(colour: Colour) -> Colour:
    return np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)


def contrast(one: Colour, other: Colour) -> float:
    weights = np.array([0.2126, 0.7152, 0.0722])
    low, high = sorted(float(weights @ linear(colour)) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def oklab(rgb_linear: Colour) -> Colour:
    to_cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    to_lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    lab: Colour = to_lab @ np.cbrt(to_cones @ rgb_linear)
    return lab


def distance(one: Colour, other: Colour, seen_as: Colour) -> float:
    seen = [oklab(np.clip(seen_as @ linear(colour), 0, 1)) for colour in (one, other)]
    return float(np.linalg.norm(seen[0] - seen[1]))


TEXT_ON = [
    *itertools.product(("text", "text-2"), ("bg", "surface", "surface-2")),
    *itertools.product(("accent", "accent-hover"), ("bg", "surface", "surface-2")),
    ("accent", "accent-soft"),
    ("on-accent", "accent"),
    ("on-accent", "accent-hover"),
    *((tone, f"{tone}-soft") for tone in ("good", "bad", "warn", "busy", "idle")),
    ("text", "good-soft"),
    ("text", "bad-soft"),
    ("text", "warn-soft"),
    ("bad", "surface"),
    ("warn", "surface"),
]
GRAPHICS_ON = [
    *itertools.product(("chart-1", "chart-2", "line-strong", "focus"), ("surface",)),
    ("focus", "bg"),
    ("line-strong", "bg"),
    ("accent", "surface-2"),
    ("busy", "surface"),
]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("front", "back"), TEXT_ON)
def test_text_has_enough_contrast(front: str, back: str, theme: str) -> None:
    found = tokens(theme)
    assert contrast(found[front], found[back]) >= _TEXT_CONTRAST


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("front", "back"), GRAPHICS_ON)
def test_lines_and_borders_have_enough_contrast(front: str, back: str, theme: str) -> None:
    found = tokens(theme)
    assert contrast(found[front], found[back]) >= _GRAPHICS_CONTRAST


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("eyes", sorted(_VISION))
def test_chart_lines_are_distinguishable(eyes: str, theme: str) -> None:
    found = tokens(theme)
    assert distance(found["chart-1"], found["chart-2"], _VISION[eyes]) >= _MIN_DISTANCE


def test_the_distance_detects_indistinguishable_colours() -> None:
    """Red and green of equal lightness are a common choice for charts."""
    red, green = parse("c0392b"), parse("5f7f2f")
    assert distance(red, green, _VISION["normal"]) > _MIN_DISTANCE
    assert distance(red, green, _VISION["deuteranopia"]) < _MIN_DISTANCE
