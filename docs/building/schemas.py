"""JSON Schema as text: the allowed values of a field, and tables of an object's fields."""

import json
import re
from collections.abc import Mapping
from html import escape
from typing import Any

Schema = Mapping[str, Any]

_LIMITS = {
    "exclusiveMinimum": "> {}",
    "minimum": "≥ {}",
    "exclusiveMaximum": "< {}",
    "maximum": "≤ {}",
    "minLength": "length ≥ {}",
    "maxLength": "length ≤ {}",
    "minItems": "items ≥ {}",
    "maxItems": "items ≤ {}",
    "maxProperties": "keys ≤ {}",
    "pattern": "matching `{}`",
    "format": "{}",
}
_CHOICES = ("anyOf", "oneOf", "allOf")


def name_of(reference: str) -> str:
    """Return the name that ``#/…/Name`` refers to."""
    return reference.rpartition("/")[2]


def words(schema: Schema, link: str = "#{}") -> str:
    """Return the allowed values, such as ``number, > 0, < 1``; objects are links by ``link``."""
    if "$ref" in schema:
        name = name_of(schema["$ref"])
        return f"[{name}]({link.format(name.lower())})"
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if values is not None:
        return ", ".join(_literal(value) for value in values)
    choices = next((schema[key] for key in _CHOICES if key in schema), None)
    if choices is not None:
        return " or ".join(dict.fromkeys(words(part, link) for part in choices))
    return ", ".join([_kind(schema, link), *_limits(schema)])


def default(schema: Schema, *, is_required: bool = False) -> str:
    """Return the default as JSON, or "" for objects, whose fields have their own defaults."""
    if is_required:
        return "required"
    if "default" not in schema or isinstance(schema["default"], dict):
        return ""
    return _literal(schema["default"])


def members(schema: Schema, link: str = "#{}", *, with_default: bool = True) -> list[str]:
    """Return the lines of a table of an object's fields; empty if it has no fields."""
    properties: Mapping[str, Schema] = schema.get("properties", {})
    if not properties:
        return []
    required = set(schema.get("required", ()))
    lines = ["| field | value | default | meaning |", "|---|---|---|---|"]
    if not with_default:
        lines = ["| field | value | meaning |", "|---|---|---|"]
    for name, part in properties.items():
        cells = [f"`{name}`", words(part, link)]
        if with_default:
            cells.append(default(part, is_required=name in required))
        lines.append(row(*cells, one_line(part.get("description", ""))))
    return lines


def row(*cells: str) -> str:
    """Return a line of a table."""
    return "| " + " | ".join(map(_cell, cells)) + " |"


def one_line(text: str) -> str:
    """Return a docstring on one line, with Markdown's single backticks."""
    return " ".join(text.replace("``", "`").split())


def _cell(text: str) -> str:
    """Escape vertical bars, which would end a cell, even within code."""
    if "|" not in text:
        return text
    coded = re.sub("`([^`]*)`", lambda found: f"<code>{escape(found[1])}</code>", text)
    return coded.replace("|", "&#124;")


def _kind(schema: Schema, link: str) -> str:
    if "prefixItems" in schema:
        return "[" + ", ".join(words(item, link) for item in schema["prefixItems"]) + "]"
    if schema.get("type") == "array":
        return f"list of {words(schema.get('items', {}), link)}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of {words(schema['additionalProperties'], link)}"
    return str(schema.get("type", "anything"))


def _limits(schema: Schema) -> list[str]:
    return [text.format(schema[key]) for key, text in _LIMITS.items() if key in schema]


def _literal(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(_literal(item) for item in value) if value else "`[]`"
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"
