"""Lines of text drawn with the machine's fonts: as many labelled images as a benchmark needs.

The images are what PP-OCR's networks take: 48 pixels high, BGR in [-1, 1], padded on the right.
"""

import random
import string
from dataclasses import dataclass

import matplotlib.font_manager
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from torch import Tensor

HEIGHT, WIDTH = 48, 192
_LENGTHS = (4, 8)
_DARK_ON_LIGHT = 0.75  # share of the lines
_CHARACTERS = string.ascii_letters + string.digits
_FAMILY = "DejaVu"  # on nearly every machine; matplotlib brings it
_PARTIAL = ("Math", "Display")  # fonts without letters


@dataclass(frozen=True)
class Lines:
    """Images (N, 3, 48, 192) and the strings in them."""

    x: Tensor
    texts: tuple[str, ...]


def lines(num: int, seed: int) -> Lines:
    """Return lines of random letters and digits in random fonts, sizes and colours."""
    rng = random.Random(seed)  # noqa: S311  # reproducible, not secret
    found = matplotlib.font_manager.findSystemFonts() or []
    own = matplotlib.font_manager.fontManager.ttflist
    paths = sorted({*found, *(font.fname for font in own)})
    fonts = [path for path in paths if _FAMILY in path and not any(w in path for w in _PARTIAL)]
    texts = tuple("".join(rng.choices(_CHARACTERS, k=rng.randint(*_LENGTHS))) for _ in range(num))
    return Lines(torch.stack([_drawn(text, fonts, rng) for text in texts]), texts)


def upside_down(images: Tensor) -> Tensor:
    """Return images turned by 180 degrees, with the padding on the right again."""
    turned = []
    for image in images:
        width = int((image != 0).any(0).any(0).nonzero().max()) + 1
        fresh = torch.zeros_like(image)
        fresh[:, :, :width] = image[:, :, :width].flip(1, 2)
        turned.append(fresh)
    return torch.stack(turned)


def _drawn(text: str, fonts: list[str], rng: random.Random) -> Tensor:
    font = ImageFont.truetype(rng.choice(fonts), rng.randint(28, 36))
    left, top, right, bottom = font.getbbox(text)
    margin = rng.randint(3, 8)
    size = (int(right - left) + 2 * margin, int(bottom - top) + 2 * margin)
    paper, ink = _colours(rng)
    image = Image.new("RGB", size, paper)
    ImageDraw.Draw(image).text((margin - left, margin - top), text, fill=ink, font=font)
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.8)))
    width = min(WIDTH, round(size[0] * HEIGHT / size[1]))
    pixels = np.asarray(image.resize((width, HEIGHT)), dtype=np.float32)
    noisy = pixels + np.random.default_rng(rng.randrange(2**32)).normal(0, 6, pixels.shape)
    found = torch.zeros(3, HEIGHT, WIDTH)
    values = torch.from_numpy(noisy.clip(0, 255)[:, :, ::-1].copy()).float()  # RGB to BGR
    found[:, :, :width] = (values / 255 - 0.5).permute(2, 0, 1) / 0.5
    return found


def _colours(rng: random.Random) -> tuple[tuple[int, ...], tuple[int, ...]]:
    light = tuple(rng.randint(180, 255) for _ in range(3))
    dark = tuple(rng.randint(0, 90) for _ in range(3))
    return (light, dark) if rng.random() < _DARK_ON_LIGHT else (dark, light)
