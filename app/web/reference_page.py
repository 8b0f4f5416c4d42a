"""HTML of the API's reference, made from the OpenAPI document, without a script of its own."""

import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

Json = Mapping[str, Any]

_STYLES = ("tokens", "base", "reference")
_CODE = re.compile(r"(`+)(.+?)\1")
_REFERENCE = "#/components/schemas/"


def draw_reference(document: Json, digest: str) -> str:
    """Return the page.

    Args:
        document: The OpenAPI document.
        digest: Digest of the dashboard's files, for links to its styles.
    """
    info = document["info"]
    title = f"{escape(info['title'])} {escape(info['version'])}: API reference"
    styles = "\n".join(
        f'<link rel="stylesheet" href="/static/{digest}/css/{name}.css">' for name in _STYLES
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="/static/{digest}/icon.svg" type="image/svg+xml">
<script src="/static/{digest}/theme.js"></script>
{styles}
</head>
<body class="reference">
<header><h1>{title}</h1>
<p>{_text(info.get("description", ""))}</p>
<p>Send a key with every request that is not marked as open: <code>Authorization: Bearer
sec_…</code>. For programs: <a href="/openapi.json">openapi.json</a>.</p></header>
<main>
{"".join(_groups(document))}
<h2 id="schemas">Schemas</h2>
{"".join(_schemas(document))}
</main>
</body>
</html>
"""


def _groups(document: Json) -> Iterator[str]:
    groups: dict[str, list[str]] = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            tag = operation.get("tags", ["other"])[0]
            groups.setdefault(tag, []).append(_operation(method, path, operation))
    for tag, operations in groups.items():
        yield f"<h2>{escape(tag.capitalize())}</h2>\n{''.join(operations)}"


def _operation(method: str, path: str, operation: Json) -> str:
    is_open = "" if operation.get("security") else ' <span class="open">open</span>'
    return (
        f'<details id="{escape(operation["operationId"])}"><summary>'
        f"<code><b>{escape(method.upper())}</b> {escape(path)}</code>{is_open}</summary>\n"
        f"<p>{_text(operation.get('description', ''))}</p>\n"
        f"{_parameters(operation.get('parameters', ()))}"
        f"{_contents('Body', operation.get('requestBody', {}).get('content', {}))}"
        f"{''.join(_response(status, found) for status, found in operation['responses'].items())}"
        "</details>\n"
    )


def _parameters(parameters: Any) -> str:  # noqa: ANN401  # JSON
    rows = "".join(
        f"<tr><th><code>{escape(each['name'])}</code></th><td>{escape(each['in'])}"
        f"{', required' if each.get('required') else ''}</td>"
        f"<td>{_type(each['schema'])}</td><td>{_text(each.get('description', ''))}</td></tr>\n"
        for each in parameters
    )
    return f"<table><caption>Parameters</caption>\n{rows}</table>\n" if rows else ""


def _response(status: str, response: Json) -> str:
    title = "Errors" if status == "default" else status
    return _contents(f"{title}: {response['description']}", response.get("content", {}) or {"": {}})


def _contents(title: str, contents: Json) -> str:
    return "".join(
        f"<p>{_text(title)} {f'<code>{escape(kind)}</code>' if kind else ''} "
        f"{_type(content.get('schema', {}))}</p>\n"
        for kind, content in contents.items()
    )


def _schemas(document: Json) -> Iterator[str]:
    for name, schema in sorted(document["components"]["schemas"].items()):
        text = escape(json.dumps(schema, indent=1, ensure_ascii=False))
        yield (
            f'<details id="schema-{escape(name)}"><summary><code>{escape(name)}</code></summary>\n'
            f"<p>{_text(schema.get('description', ''))}</p>\n<pre>{text}</pre></details>\n"
        )


def _type(schema: Json) -> str:
    """Return a schema in a few words, with links to named ones."""
    if "$ref" in schema:
        name = escape(schema["$ref"].removeprefix(_REFERENCE))
        return f'<a href="#schema-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"<code>{escape(json.dumps(each))}</code>" for each in schema["enum"])
    if schema.get("type") == "array":
        return f"array of {_type(schema.get('items', {})) or 'anything'}"
    kind = escape(str(schema.get("format") or schema.get("type") or ""))
    default = schema.get("default")
    return kind + (f" = <code>{escape(json.dumps(default))}</code>" if default is not None else "")


def _text(text: str) -> str:
    return _CODE.sub(r"<code>\2</code>", escape(" ".join(text.split()), quote=False))
