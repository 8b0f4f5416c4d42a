"""How a model's outputs nest: a serialised tree specification, read by hand."""

from typing import Any

from torch.utils import _pytree as pytree

from worker.engine.program.document import Document

_MAX_DEPTH = 16
_PROTOCOL = 1


def read_structure(text: Document) -> pytree.TreeSpec:
    """Return the tree of tuples, lists and dicts that a tree specification describes.

    Raises:
        ModelRejectedError: It names another type, such as a class of the user's.
    """
    document = Document.parse(text.string(r"[^\x00]{0,65536}").encode(), text.path)
    parts = document.list()
    if len(parts) != 2 or parts[0].integer() != _PROTOCOL:  # noqa: PLR2004  # protocol and tree
        document.refuse("is not a tree specification of protocol 1")
    return pytree.tree_structure(_example(parts[1], 0))


def _example(tree: Document, depth: int) -> Any:  # noqa: ANN401  # any nesting
    """Return a value that nests as the tree says, with a number for each leaf."""
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
        context = tree["context"].string(r"[^\x00]{0,16384}")
        keys = [k.string() for k in Document.parse(context.encode(), tree.path).list()]
        if len(keys) != len(children) or len(set(keys)) != len(keys):
            tree.refuse("keys and values do not pair up")
        return dict(zip(keys, children, strict=True))
    return tree.refuse(
        f"outputs of type {str(kind)[:80]!r} are not accepted; return tensors, "
        "tuples, lists or dicts"
    )
