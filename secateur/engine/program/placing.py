"""Devices of calls: literal devices in a graph, and tensors made from nothing, follow the program.

The graph keeps the literal ``cpu`` that every file is read with, because the fingerprint that
plans are matched by covers its literals.
"""

from typing import Any

import torch
from torch import fx


def placed(node: fx.Node, device: torch.device) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call that runs on ``device``, where its tensors are.

    Args:
        node: Call of an operator.
        device: Device of the program's tensors and inputs.
    """
    if device.type == "cpu":
        return node.args, dict(node.kwargs)
    args, kwargs = _replaced(node.args, device), _replaced(node.kwargs, device)
    if _makes_tensors(node.target):
        kwargs["device"] = device
    return args, kwargs


def _makes_tensors(target: object) -> bool:
    """Return whether an operator makes a tensor without reading one, such as ``arange``."""
    schema = getattr(target, "_schema", None)
    if schema is None:  # a Python operator
        return False
    takes = {argument.name: str(argument.type) for argument in schema.arguments}
    return "device" in takes and not any("Tensor" in kind for kind in takes.values())


def _replaced(value: Any, device: torch.device) -> Any:  # noqa: ANN401  # any literal
    if isinstance(value, torch.device):
        return device
    if isinstance(value, (list, tuple)):
        return tuple(_replaced(item, device) for item in value)
    if isinstance(value, dict):
        return {name: _replaced(item, device) for name, item in value.items()}
    return value
