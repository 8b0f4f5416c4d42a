"""Names of a program's tensors and arguments, after those of an ONNX file."""

import keyword
import unicodedata
from collections.abc import Iterable

from torch import nn

from secateur.engine.program.stored import MOST_NAME_PARTS, is_name_part
from secateur.engine.program.structure import unique

_RESERVED = frozenset(dir(nn.Module()))


def weight_names(names: Iterable[str]) -> dict[str, str]:
    """Return a name that a module can have for each name in a file.

    Names that fit are kept. In others, characters that no tensor's name may have become ``_``.
    Dots nest modules, so ``a`` and ``a.b`` exclude each other: the dots of ``a.b`` become ``_``.
    """
    plain = {name: _plain(name) for name in names}
    whole = set(plain.values())
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name, wanted in plain.items():
        parts = wanted.split(".")
        is_inside = any(".".join(parts[:depth]) in whole for depth in range(1, len(parts)))
        base = free = wanted.replace(".", "_") if is_inside else wanted
        number = 1
        while free in taken or (is_inside and free in whole):
            number += 1
            free = f"{base}_{number}"
        taken.add(free)
        found[name] = free
    return found


def argument_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return a Python identifier for the name of each input."""
    plain = ["".join(c if c.isalnum() else "_" for c in name) or "x" for name in names]
    return unique(
        name if name.isidentifier() and not keyword.iskeyword(name) else f"x_{name}"
        for name in plain
    )


def _plain(name: str) -> str:
    """Return a dotted path of names that modules can have."""
    normal = unicodedata.normalize("NFKC", name)
    text = "".join(c if c == "." or is_name_part(f"{c}a") else "_" for c in normal)[:_LENGTH] or "_"
    parts = text.split(".")
    if len(parts) > MOST_NAME_PARTS or not all(parts):
        parts = ["_".join(parts)]
    return ".".join(
        part if is_name_part(part) and part not in _RESERVED else f"{part}_" for part in parts
    )


_LENGTH = 200  # characters that are kept
