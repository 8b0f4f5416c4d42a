"""Nesting depth of JSON, measured without parsing: parsers recurse, this does not."""

import re

_REST = bytes(set(range(256)) - set(b'"[]{}'))
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_STRING = re.compile(rb'"[^"]*(?:"|$)')


class DepthMeter:
    """Measures the depth of a body that arrives in pieces; keeps only quotes and brackets."""

    def __init__(self, limit: int) -> None:
        self._limit, self._kept, self._tail = limit, bytearray(), b""

    def feed(self, chunk: bytes) -> None:
        """Process the next piece."""
        if b"\\" in chunk or self._tail:
            chunk = _ESCAPED.sub(b"", self._tail + chunk)
            self._tail = b"\\" if chunk.endswith(b"\\") else b""  # its character follows
        self._kept += chunk.translate(None, _REST)

    def is_too_deep(self) -> bool:
        """Return whether arrays and objects nest deeper than the limit."""
        if self._kept.count(b"[") + self._kept.count(b"{") <= self._limit:
            return False
        depth = 0
        for byte in _STRING.sub(b"", bytes(self._kept)):
            depth += 1 if byte in b"[{" else -1
            if depth > self._limit:
                return True
        return False
