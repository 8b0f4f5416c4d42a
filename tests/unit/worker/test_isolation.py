"""A job's process can read our code, but not the folder around it."""

import sys
from pathlib import Path

import pytest

from app.sandbox.landlock import _readable, without

ROOT = Path(__file__).parents[3]


def test_what_lies_beside_a_hidden_folder_stays_readable(tmp_path: Path) -> None:
    for name in ("a/data/key", "a/lib/x.py", "b/y.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "link").symlink_to("data")
    a, b, data = tmp_path / "a", tmp_path / "b", tmp_path / "a" / "data"
    assert list(without([tmp_path], [data])) == [a / "lib", b]
    assert list(without([a, b], [])) == [a, b]
    assert list(without([data, a / "link", b], [data])) == [b]
    assert list(without([b], [tmp_path / "absent"])) == [b]


def test_a_checkout_is_read_in_its_packages_only(monkeypatch: pytest.MonkeyPatch) -> None:
    # As an editable installation has it. A service that is started there keeps its data there.
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT)])
    readable = set(_readable())
    assert ROOT not in readable
    assert {ROOT / name for name in ("app", "secateur", "worker")} <= readable
    assert not any((ROOT / ".secateur").is_relative_to(path) for path in readable)
