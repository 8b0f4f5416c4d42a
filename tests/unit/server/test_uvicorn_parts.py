"""The private parts of uvicorn that `app.server` overrides or relies on are unchanged.

When a test fails here after an upgrade: read the part in uvicorn, and what `app.server` does with
it; correct that if need be; then take over the new digest (``python -m tests.unit.server.parts``
prints them) and raise the bounds in ``pyproject.toml``.
"""

import ast
import inspect
import tomllib
from importlib.metadata import version
from pathlib import Path

import httptools
import pytest
import uvicorn
from packaging.requirements import Requirement
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.server import connection
from app.server.connection import LimitedProtocol
from tests.unit.server.parts import ATTRIBUTES, OVERRIDDEN, PARSER, RELIED_ON, digest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("part", "expected"), [*OVERRIDDEN.items(), *RELIED_ON.items()])
def test_a_private_part_is_as_it_was_read(part: str, expected: str) -> None:
    assert digest(part) == expected, f"{part} of uvicorn {uvicorn.__version__} has changed"


def test_every_method_that_overrides_one_of_uvicorn_is_in_the_list() -> None:
    own = {
        name for name in vars(LimitedProtocol) if inspect.isfunction(vars(LimitedProtocol)[name])
    }
    overriding = {name for name in own if hasattr(HttpToolsProtocol, name)}
    listed = {part.partition(".")[2] for part in OVERRIDDEN if part.startswith("HttpToolsProtocol")}
    assert overriding == listed


def test_every_attribute_of_uvicorn_that_is_read_is_in_the_list_and_there() -> None:
    """Finds names on ``self`` that are not ours in the source."""
    tree = ast.parse(inspect.getsource(LimitedProtocol))
    on_self = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }
    ours = {*vars(LimitedProtocol), *LimitedProtocol.__annotations__}
    assigned = {name for name in on_self if name.startswith("_")}
    assert on_self - ours - assigned == ATTRIBUTES["HttpToolsProtocol"]
    source = inspect.getsource(connection)
    for owner, names in ATTRIBUTES.items():
        made = inspect.getsource(
            getattr(inspect.getmodule(HttpToolsProtocol), owner, None) or uvicorn.server.ServerState
        )
        for name in names:
            assert f"self.{name}" in made, f"{owner}.{name}"
            assert f".{name}" in source, f"{owner}.{name} is no longer used: take it from the list"
    for name in PARSER:
        assert hasattr(httptools.HttpRequestParser, name)


def test_the_bounds_are_the_minor_version_that_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    found = [Requirement(line) for group in groups for line in group]
    (bounds,) = {str(r.specifier) for r in found if r.name == "uvicorn"}
    major, minor, *_ = map(int, version("uvicorn").split("."))
    assert bounds == f"<{major}.{minor + 1},>={major}.{minor}"
