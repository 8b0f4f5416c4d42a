"""The table of the operators that torch's ONNX exporter can write, made once a process.

`torch.onnx.export` makes it anew in every call, from the source of 500 functions: 0.5 s of CPU,
more than the rest of the export of a small network.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

# By opset and by the libraries whose operators are loaded: torch leaves out those of others.
_tables: dict[tuple[int, frozenset[str]], dict[Any, list[Any]]] = {}


@contextlib.contextmanager
def operators_kept() -> Iterator[None]:
    """Let exports use the table of an earlier one."""
    # It imports onnxscript: a second.
    from torch.onnx._internal.exporter._registration import ONNXRegistry  # noqa: PLC0415

    registry: Any = ONNXRegistry
    make = registry.from_torchlib

    def kept(opset_version: int) -> ONNXRegistry:
        key = (opset_version, _libraries())
        if key not in _tables:
            _tables[key] = make(opset_version=opset_version).functions
        found = registry()
        found._opset_version = opset_version  # noqa: SLF001  # only `from_torchlib` sets it
        # An export with ``custom_translation_table`` adds to its table.
        found.functions = {name: list(made) for name, made in _tables[key].items()}
        return found  # type: ignore[no-any-return]

    registry.from_torchlib = staticmethod(kept)
    try:
        yield
    finally:
        registry.from_torchlib = make


def _libraries() -> frozenset[str]:
    names = torch._C._dispatch_get_all_op_names()  # noqa: SLF001  # there is no public list
    return frozenset(name.partition("::")[0] for name in names)
