"""Typed access to untrusted JSON; every mismatch raises an error that names the path."""

import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from secateur.engine.errors import ModelRejectedError


@dataclass(frozen=True)
class Document:
    """JSON value with its path in the document."""

    value: Any
    path: str

    @classmethod
    def parse(cls, data: bytes, name: str) -> "Document":
        """Parse UTF-8 JSON without duplicate keys or bare NaN.

        Raises:
            ModelRejectedError: The data is invalid or nested too deeply.
        """
        try:
            value = json.loads(data, object_pairs_hook=_unique, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise ModelRejectedError(f"{name} is not valid JSON: {str(error)[:200]}") from error
        return cls(value, name)

    def refuse(self, reason: str) -> NoReturn:
        """Raise `ModelRejectedError` with this value's path and ``reason``."""
        raise ModelRejectedError(f"{self.path}: {reason}")

    def __getitem__(self, key: str) -> "Document":
        if not isinstance(self.value, dict) or key not in self.value:
            self.refuse(f"{key!r} is missing")
        return Document(self.value[key], f"{self.path}.{key[:60]}")

    def get(self, key: str) -> "Document | None":
        """Return a member, or None if it is missing or null."""
        if not isinstance(self.value, dict):
            self.refuse("is not an object")
        found = self.value.get(key)
        return None if found is None else Document(found, f"{self.path}.{key[:60]}")

    def items(self) -> list[tuple[str, "Document"]]:
        """Return the members of an object as key and value."""
        if not isinstance(self.value, dict):
            self.refuse("is not an object")
        return [(k, Document(v, f"{self.path}.{k[:60]}")) for k, v in self.value.items()]

    def list(self) -> list["Document"]:
        """Return the elements of an array."""
        if not isinstance(self.value, list):
            self.refuse("is not an array")
        return [Document(v, f"{self.path}[{i}]") for i, v in enumerate(self.value)]

    def only(self) -> tuple[str, "Document"]:
        """Return the only member of a union such as ``{"as_int": 3}``."""
        items = self.items()
        if len(items) != 1:
            self.refuse(f"has {len(items)} members, expected one")
        return items[0]

    def string(self, pattern: str = r"[^\x00]{0,4096}") -> str:
        """Return a string that matches ``pattern`` in full."""
        if not isinstance(self.value, str) or not re.fullmatch(pattern, self.value, re.DOTALL):
            self.refuse(f"{str(self.value)[:60]!r} is not accepted here")
        return self.value

    def integer(self, low: int = -(2**63), high: int = 2**63 - 1) -> int:
        """Return an integer from ``low`` to ``high``, both included."""
        value = self.value
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self.refuse(f"{str(value)[:60]!r} is not a whole number from {low} to {high}")
        return value

    def number(self) -> float:
        """Return a float; torch writes infinities and NaN as strings."""
        if self.value in ("Infinity", "-Infinity", "NaN"):
            return float(self.value)
        if not isinstance(self.value, (int, float)) or isinstance(self.value, bool):
            self.refuse(f"{str(self.value)[:60]!r} is not a number")
        return float(self.value)

    def boolean(self) -> bool:
        """Return a boolean."""
        if not isinstance(self.value, bool):
            self.refuse(f"{str(self.value)[:60]!r} is not a boolean")
        return self.value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
