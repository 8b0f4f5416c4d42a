"""Reference tables of the HTTP API, from the application's OpenAPI document."""

from collections.abc import Iterator, Mapping
from typing import Any

from app.contracts.settings import Settings
from app.main import create_app
from docs.building.schemas import default, members, name_of, one_line, row, words

# In the order of the page; other tags follow.
_TAGS = ("models", "datasets", "jobs", "sweeps", "artifacts", "inference", "registry")
_TITLES = {
    "datasets": "Data sets",
    "inference": "Inference",
    "open inference protocol": "Open Inference Protocol",
    "registry": "Names and aliases",
}
Document = Mapping[str, Any]


def render() -> str:
    """Return the tables."""
    document = create_app(Settings()).openapi()
    by_tag: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tag = (operation.get("tags") or ["more"])[0]
            by_tag.setdefault(tag, []).extend(_operation(method, path, operation))
    order = sorted(by_tag, key=lambda tag: _TAGS.index(tag) if tag in _TAGS else len(_TAGS))
    parts: list[str] = []
    for tag in order:
        parts += [f"\n## {_TITLES.get(tag, tag.capitalize())}\n", *by_tag[tag]]
    parts += ["\n## Objects\n", *_objects(document)]
    return "\n".join(parts) + "\n"


def _operation(method: str, path: str, operation: Document) -> Iterator[str]:
    yield f"\n### {method.upper()} {path}\n"
    yield one_line(operation.get("description", ""))
    yield ""
    parameters = [p for p in operation.get("parameters", ()) if p["in"] != "path"]
    if parameters:
        yield from ("| parameter | value | default | meaning |", "|---|---|---|---|")
        yield from (_parameter(parameter) for parameter in parameters)
        yield ""
    yield from _body(operation)
    yield from _response(operation)


def _parameter(parameter: Document) -> str:
    schema = parameter["schema"]
    description = parameter.get("description") or schema.get("description", "")
    is_required = parameter.get("required", False)
    place = "" if parameter["in"] == "query" else f" ({parameter['in']})"
    return row(
        f"`{parameter['name']}`{place}",
        words(schema).removesuffix(" or null"),
        default(schema, is_required=is_required),
        one_line(description),
    )


def _body(operation: Document) -> Iterator[str]:
    content = operation.get("requestBody", {}).get("content", {})
    if not content:
        return
    yield "Body: " + ", or ".join(_content(kind, part) for kind, part in content.items()) + ".\n"


def _response(operation: Document) -> Iterator[str]:
    for status, response in operation.get("responses", {}).items():
        if not str(status).startswith("2"):
            continue
        content = response.get("content", {})
        shown = ", or ".join(_content(kind, part) for kind, part in content.items())
        yield f"Returns {status}" + (f": {shown}." if shown else ".") + "\n"


def _content(kind: str, part: Document) -> str:
    schema = part.get("schema", {})
    if kind == "application/json" and schema:
        return words(schema)
    if "properties" in schema:
        fields = ", ".join(f"`{name}`" for name in schema["properties"])
        return f"`{kind}` with {fields}"
    return f"`{kind}`"


def _objects(document: Document) -> Iterator[str]:
    used = _used(document)
    for name, schema in sorted(document["components"]["schemas"].items()):
        if name not in used:
            continue
        yield f"\n### {name}\n"
        yield one_line(schema.get("description", "")) + "\n"
        rows = members(schema)
        yield "\n".join(rows) if rows else words(schema)


def _used(document: Document) -> set[str]:
    """Return the objects in the requests and responses of all routes, with nested objects."""
    schemas = document["components"]["schemas"]
    found: set[str] = set()
    waiting = list(_references(document["paths"]))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _references(schemas[name])
    return found


def _references(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield name_of(part["$ref"])
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)
