"""Generate `secateur.config`, the types of the pruning config: ``python -m tools.config_types``.

They are TypedDicts made from the config's JSON schema. A test holds them equal to it.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

from app.contracts.spec import PruneConfig

TARGET = Path(__file__).parents[1] / "secateur" / "config.py"
_HEAD = '''\
"""The pruning config as types, for completion and type checks.

``config: PruneConfig = {"selection": {"mode": "budget", "macs": 0.5}}``; every key is optional. The
service's own defaults apply to the others, and its reference says what each key means. Generated
from the service's schema by ``python -m tools.config_types``; do not edit.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, Required, TypedDict

'''
_PLAIN = {"number": "float", "integer": "int", "string": "str", "boolean": "bool", "null": "None"}

Json = dict[str, Any]


def generate() -> str:
    """Return the module's text, formatted."""
    schema = PruneConfig.model_json_schema()
    parts: dict[str, Json] = {**schema["$defs"], schema["title"]: schema}
    classes = [_class(name, part) for name, part in _in_order(parts)]
    text = _HEAD + "\n".join(classes)
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(TARGET), "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)  # noqa: S603  # our own text
    return done.stdout


def _in_order(parts: dict[str, Json]) -> list[tuple[str, Json]]:
    """Return the definitions with those that others need first."""
    found: dict[str, Json] = {}

    def add(name: str) -> None:
        if name in found:
            return
        for other in parts:
            if other != name and f'/{other}"' in _text(parts[name].get("properties")):
                add(other)
        found[name] = parts[name]

    for name in sorted(parts):
        add(name)
    return list(found.items())


def _text(value: object) -> str:
    return str(value).replace("'", '"')


def _class(name: str, part: Json) -> str:
    needed = set(part.get("required", ()))
    fields = [
        f"    {key}: {f'Required[{_type(field)}]' if key in needed else _type(field)}"
        for key, field in part["properties"].items()
    ]
    words = " ".join(part.get("description", name).split()).split(" (")[0].rstrip(".")
    return "\n".join(
        [f"\nclass {name}(TypedDict, total=False):", f'    """{words}."""', "", *fields, ""]
    )


def _type(field: Json) -> str:  # noqa: PLR0911  # one a kind of schema
    if "$ref" in field:
        return str(field["$ref"].rpartition("/")[2])
    if "const" in field:
        return f"Literal[{field['const']!r}]"
    if "enum" in field:
        return f"Literal[{', '.join(map(repr, field['enum']))},]"  # the comma breaks long lines
    for key in ("anyOf", "oneOf"):
        if key in field:
            return _union(field[key])
    if field["type"] == "array":
        return f"Sequence[{_type(field['items'])}]"
    if field["type"] == "object":
        return f"Mapping[str, {_type(field['additionalProperties'])}]"
    return _PLAIN[field["type"]]


def _union(options: list[Json]) -> str:
    words: list[Any] = []
    kinds = []
    for option in options:
        values = option.get("enum", [option["const"]] if "const" in option else None)
        if values is None:
            kinds.append(_type(option))
        else:
            words += values
    if words:
        kinds.append(_type({"enum": words}))
    return " | ".join(dict.fromkeys(kinds))


if __name__ == "__main__":
    TARGET.write_text(generate(), encoding="utf-8")
