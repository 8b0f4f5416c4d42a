"""Nesting and names of a model's inputs and outputs.

The nesting is a serialised pytree specification, parsed here; the names follow from it. A user's
class, such as an output class of Hugging Face, is read as a dict of its fields or a tuple of its
parts: nothing is imported.
"""

import keyword
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch.utils import _pytree as pytree

from secateur.engine.program.document import Document

_MAX_DEPTH = 16
_PROTOCOL = 1
_MAX_NAME_LENGTH = 200


@dataclass(frozen=True)
class CallSignature:
    """Arguments of the user's model.

    Attributes:
        names: Names of ``forward``'s arguments in ``tree``, positional ones first.
        tree: Nesting of the flat inputs in (args, kwargs).
    """

    names: tuple[str, ...]
    tree: pytree.TreeSpec


def read_structure(text: Document) -> pytree.TreeSpec:
    """Return the tree of tuples, lists and dicts that a tree specification describes.

    Raises:
        ModelRejectedError: The specification is malformed.
    """
    document = Document.parse(text.string(r"[^\x00]{0,65536}").encode(), text.path)
    parts = document.list()
    if len(parts) != 2 or parts[0].integer() != _PROTOCOL:  # noqa: PLR2004  # protocol and tree
        document.refuse("is not a tree specification of protocol 1")
    return pytree.tree_structure(_example(parts[1], 0))


def read_call(signature: Document, num_inputs: int) -> CallSignature:
    """Return a model's call signature from the one in its file.

    Raises:
        ModelRejectedError: The signature does not fit the inputs.
    """
    tree = read_structure(signature["in_spec"])
    if tree.num_leaves != num_inputs:
        signature["in_spec"].refuse(
            f"{num_inputs} inputs, but the input structure has {tree.num_leaves}"
        )
    call: Any = pytree.tree_unflatten([0] * num_inputs, tree)
    if [type(part) for part in (call if isinstance(call, tuple) else ())] != [tuple, dict]:
        signature["in_spec"].refuse("is not a call: a tuple of arguments and a dict of others")
    args, kwargs = call
    given = signature.get("forward_arg_names")
    if given is None:
        names: list[Any] = [f"args_{index}" for index in range(len(args))]
    else:
        names = [name.string(r"\w{1,200}") for name in given.list()][: len(args)]
    names += kwargs
    if len(names) != len(args) + len(kwargs) or len(set(names)) != len(names):
        signature.refuse("the arguments and their names do not match")
    if not all(isinstance(name, str) and _is_argument(name) for name in names):
        signature.refuse("an argument's name is not a Python identifier")
    return CallSignature(tuple(names), tree)


def output_names(tree: pytree.TreeSpec, taken: Iterable[str] = ()) -> tuple[str, ...]:
    """Return a unique name for each output, by its position in the returned structure.

    A dict's key is the name. Elements of a tuple or list are numbered: ``output_0``, or
    ``boxes_1`` below the key ``boxes``.

    Args:
        tree: Nesting of the outputs.
        taken: Names of inputs, which outputs must not reuse.
    """
    leaves, _ = pytree.tree_flatten_with_path(pytree.tree_unflatten([0] * tree.num_leaves, tree))
    return unique([_path_name(path) for path, _ in leaves], taken)


def unique(names: Iterable[str], taken: Iterable[str] = ()) -> tuple[str, ...]:
    """Return printable, distinct names that are not in ``taken``; keep valid names unchanged."""
    used, found = set(taken), []
    for name in names:
        plain = "".join(c if c.isprintable() else "_" for c in name)[:_MAX_NAME_LENGTH] or "_"
        free, number = plain, 1
        while free in used:
            number += 1
            free = f"{plain}_{number}"
        used.add(free)
        found.append(free)
    return tuple(found)


def _is_argument(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name)


def _path_name(path: tuple[Any, ...]) -> str:
    parts = [str(entry.key if hasattr(entry, "key") else entry.idx) for entry in path]
    if not path or not hasattr(path[0], "key"):
        parts.insert(0, "output")
    return "_".join(parts)


def _example(tree: Document, depth: int) -> Any:  # noqa: ANN401  # any nesting
    """Return a value nested like ``tree``, with a number at each leaf."""
    if depth > _MAX_DEPTH:
        tree.refuse(f"nests deeper than {_MAX_DEPTH}")
    children = [_example(child, depth + 1) for child in tree["children_spec"].list()]
    kind = tree["type"].value
    if kind is None:
        return 0
    if kind == "builtins.tuple":
        return tuple(children)
    if kind == "builtins.list":
        return children
    if kind in {"builtins.dict", "collections.OrderedDict"}:
        keys = [_key(key) for key in _context(tree).list()]
        if len(keys) != len(children) or len(set(keys)) != len(keys):
            tree.refuse("keys and values do not match")
        found = zip(keys, children, strict=True)
        return dict(found) if kind == "builtins.dict" else OrderedDict(found)
    tree["type"].string()
    fields = _fields(_context(tree).value, len(children))
    return tuple(children) if fields is None else dict(zip(fields, children, strict=True))


def _context(tree: Document) -> Document:
    context = tree["context"].string(r"[^\x00]{0,16384}")
    return Document.parse(context.encode(), tree.path)


def _fields(context: Any, num_children: int) -> list[str] | None:  # noqa: ANN401  # any JSON
    """Return the names of a class's parts, or None if its context does not list them.

    A registered dataclass lists its fields in two lists: those with a value, and those that are
    None. Output classes of Hugging Face list their keys.
    """
    is_dataclass = isinstance(context, list) and [type(part) for part in context] == [list, list]
    names = context[0] if is_dataclass else context
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return names if len(names) == len(set(names)) == num_children else None


def _key(key: Document) -> str | int:
    return key.integer() if isinstance(key.value, int) else key.string()
