"""Payloads of hostile files: when they run, they create a marker file and do nothing else."""

from pathlib import Path


def pickle(marker: Path) -> bytes:
    """Return a pickle that touches ``marker`` when it is loaded."""
    command = f"touch {marker}".encode()
    return b"\x80\x02cposix\nsystem\nX" + len(command).to_bytes(4, "little") + command + b"\x85R."


def expression(marker: Path) -> str:
    """Return Python that touches ``marker`` when it is evaluated."""
    return f"__import__('pathlib').Path({str(marker)!r}).touch()"
