"""Generate the asynchronous client from the synchronous one.

``python -m tools.unasync`` (`make async`) writes the files of `TWINS`; ``--check`` only reports
those that are out of date. The output is committed, so building and importing generate nothing.
`secateur/core/async_transport.py` is written by hand: it moves file access to threads, which its
synchronous twin does not need.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TWINS = {
    "secateur/client.py": "secateur/async_client.py",
    "secateur/jobs.py": "secateur/async_jobs.py",
}
# Every public method is awaited, with these exceptions; a method that returns an iterator is
# iterated with `async for`.
_SYNCHRONOUS = {"__init__", "__repr_args__", "_repr_html_"}
_SYNCHRONOUS_DECORATORS = {"property", "classmethod"}
_DRIVERS = {"run"}  # methods of `Transport`, which is not read here
_WORDS = {
    r"\b(Client|Job|Sweep|Iterator|Transport)\b": r"Async\1",
    r"\bsecateur\.(client|jobs)\b": r"secateur.async_\1",
    r"\bcore\.transport\b": "core.async_transport",
    r"\bhttpx\.BaseTransport\b": "httpx.AsyncBaseTransport",
    r"\b__(enter|exit)__\b": r"__a\1__",
    r"``with ": "``async with ",
    r"\bsynchronous\b": "asynchronous",
    r"\bThreads may share one client\b": "Tasks of one event loop may share one client",
    r"\n\n`secateur\.\w+` is generated from this file: .*\n": "",
}


def generate(source: str) -> str:
    """Return the asynchronous twin of a file, formatted, under a line that names its source."""
    text = (ROOT / source).read_text(encoding="utf-8")
    text = _insert_awaits(text, _awaited_names())
    for pattern, replacement in _WORDS.items():
        text = re.sub(pattern, replacement, text)
    head = f"# Generated from {source} by `make async`; do not edit.\n"
    return _ruff(head + text, TWINS[source])


def out_of_date() -> list[str]:
    """Return the generated files that differ from what would be generated now."""
    return [
        target
        for source, target in TWINS.items()
        if (ROOT / target).read_text(encoding="utf-8") != generate(source)
    ]


def _awaited_names() -> set[str]:
    """Return the names of all methods that are coroutines in the asynchronous client."""
    names = set(_DRIVERS)
    for source in TWINS:
        for node in ast.walk(ast.parse((ROOT / source).read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and _is_coroutine(node):
                names.add(node.name)
    return names


def _is_coroutine(method: ast.FunctionDef) -> bool:
    decorators = {node.id for node in method.decorator_list if isinstance(node, ast.Name)}
    returned = ast.unparse(method.returns) if method.returns else ""
    return not (
        method.name in _SYNCHRONOUS
        or decorators & _SYNCHRONOUS_DECORATORS
        or returned.startswith("Iterator")
    )


def _insert_awaits(text: str, awaited: set[str]) -> str:
    """Return the text with ``async`` before every coroutine and ``await`` before every call of one.

    A call whose result is used at once (``self._run(…).body``) needs parentheses as well.
    """
    tree = ast.parse(text)
    used_at_once = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Attribute, ast.Subscript))
    }
    inserted: list[tuple[int, int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and _is_coroutine(node):
            inserted.append((node.lineno, node.col_offset, "async "))
        elif isinstance(node, ast.Call) and _is_awaited(node, awaited):
            is_used = id(node) in used_at_once
            inserted.append((node.lineno, node.col_offset, "(await " if is_used else "await "))
            if is_used and node.end_lineno is not None and node.end_col_offset is not None:
                inserted.append((node.end_lineno, node.end_col_offset, ")"))
    lines = text.splitlines(keepends=True)
    for line, column, word in sorted(inserted, reverse=True):
        # Columns of `ast` count bytes.
        data = lines[line - 1].encode()
        lines[line - 1] = (data[:column] + word.encode() + data[column:]).decode()
    return "".join(lines)


def _is_awaited(call: ast.Call, awaited: set[str]) -> bool:
    """Return whether this calls a coroutine of ``self`` or of an attribute of ``self``."""
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in awaited:
        return False
    owner = call.func.value
    owner = owner.value if isinstance(owner, ast.Attribute) else owner
    return isinstance(owner, ast.Name) and owner.id == "self"


def _ruff(text: str, name: str) -> str:
    """Return the text with sorted imports and in house format."""
    ruff = str(Path(sys.executable).with_name("ruff"))
    for arguments in (["check", "--quiet", "--select", "I", "--fix-only"], ["format", "--quiet"]):
        command = [ruff, *arguments, "--stdin-filename", name, "-"]
        done = subprocess.run(  # noqa: S603  # our own command
            command, cwd=ROOT, input=text, capture_output=True, text=True, check=True
        )
        text = done.stdout
    return text


def main(arguments: list[str]) -> int:
    """Write the generated files, or with ``--check`` return 1 if one is out of date."""
    if arguments == ["--check"]:
        found = out_of_date()
        for target in found:
            sys.stderr.write(f"{target} is out of date: run `make async`\n")
        return 1 if found else 0
    for source, target in TWINS.items():
        (ROOT / target).write_text(generate(source), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
