"""A job's process can read our code, but not the folder around it."""

import sys
from pathlib import Path

import pytest

from app.sandbox.landlock import _readable

ROOT = Path(__file__).parents[3]


def test_a_checkout_is_read_in_its_packages_only(monkeypatch: pytest.MonkeyPatch) -> None:
    # As an editable installation has it. A service that is started there keeps its data there.
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT)])
    readable = set(_readable())
    assert ROOT not in readable
    assert {ROOT / name for name in ("app", "secateur", "worker")} <= readable
    assert not any((ROOT / ".secateur").is_relative_to(path) for path in readable)
