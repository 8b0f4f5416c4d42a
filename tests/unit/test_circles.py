"""The import graph of the project has no cycle."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("app", "secateur", "worker")
# A job has the methods of the client that it came from, and a client returns jobs (record 37).
DEFENDED = {
    frozenset({"secateur.client", "secateur.jobs"}),
    frozenset({"secateur.async_client", "secateur.async_jobs"}),
}

Graph = Mapping[str, set[str]]


def modules() -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


def import_graph() -> Graph:
    """Return the imports of each module, including those for types and inside functions."""
    files = modules()
    return {name: set(imported(path, files)) - {name} for name, path in files.items()}


def imported(path: Path, files: Mapping[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in files)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                name = whole if whole in files else node.module
                if name in files:
                    yield name


def circles(graph: Graph) -> set[frozenset[str]]:
    """Return the strongly connected components of more than one module (Tarjan, 1972)."""
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: set[frozenset[str]] = set()

    def visit(name: str) -> None:
        numbers[name] = lowest[name] = len(numbers)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in numbers:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in stack:
                lowest[name] = min(lowest[name], numbers[other])
        if lowest[name] == numbers[name]:
            start = stack.index(name)
            component = frozenset(stack[start:])
            del stack[start:]
            if len(component) > 1:
                found.add(component)

    for name in sorted(graph):
        if name not in numbers:
            visit(name)
    return found


def test_circles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": {"e"}, "e": set[str]()}
    assert circles(graph) == {frozenset("abc")}
    assert circles({**graph, "c": {"d"}, "e": {"d"}}) == {frozenset("de")}
    assert circles({**graph, "c": set()}) == set()


def test_there_is_no_circle_but_those_that_are_defended() -> None:
    graph = import_graph()
    assert len(graph) > 300
    assert graph["app.server.server"] >= {"app.server.accepting", "app.server.connection"}
    assert circles(graph) == DEFENDED
