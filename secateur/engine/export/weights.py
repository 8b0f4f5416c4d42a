"""``weights.safetensors``: the tensors, and a probe to check a network that loads them.

The probe is the network's outputs for reproducible inputs (`probe_input`; the loader's copy is in
`secateur/fitting.py`). It is stored in the file's metadata.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from secateur.engine.export.format import ExportFormat
from secateur.engine.program.functional import op_name
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.precision import own_tensors
from secateur.engine.program.program import Program, Role
from secateur.engine.program.shapes import num_analysed

KEY = "secateur"
_MOST_VALUES = 128  # per output
_NUM_DIGITS = 7


def write_weights(program: Program, path: Path) -> None:
    """Write a program's tensors in the types of the user's file, with a probe."""
    tensors = {name: t.contiguous() for name, t in own_tensors(program).items()}
    about = describe_weights(program)
    save_file(tensors, path, metadata={KEY: json.dumps(about, sort_keys=True)})


def describe_weights(program: Program) -> dict[str, Any]:
    """Return the file's metadata: version, names of constants, groups of norms, and the probe."""
    return {
        "version": 1,
        "constants": sorted(n for n, role in program.roles.items() if role is Role.CONSTANT),
        "norm_groups": _norm_groups(program),
        "probe": _probe(program),
    }


def _norm_groups(program: Program) -> dict[str, int]:
    """Return the number of groups of each group norm, by the name of its scale."""
    found: dict[str, int] = {}
    for node in program.graph.nodes:
        if op_name(node.target) == "group_norm" and len(node.args) > 2:  # noqa: PLR2004  # its scale
            scale, num_groups = node.args[2], node.args[1]
            if isinstance(scale, fx.Node) and scale.op == "get_attr" and type(num_groups) is int:
                found[str(scale.target)] = num_groups
    return found


def probe_input(shape: tuple[int, ...], number: int) -> Tensor:
    """Return deterministic float32 values in [-2, 2) of the given shape, without a generator."""
    count = torch.Size(shape).numel()
    steps = (torch.arange(count, dtype=torch.int64) + 7919 * number) * 48271 % 65521
    return (steps.double() / 65521 * 4 - 2).float().view(shape)


@torch.no_grad()
def _probe(program: Program) -> dict[str, Any]:
    """Return the call, the inputs' shapes and types, and the network's outputs."""
    inputs = [
        probe_input((num_analysed(program), *spec.sample_shape), number)
        for number, spec in enumerate(program.inputs)
    ]
    own = [
        (x if spec.dtype.is_floating_point else x.abs()).to(spec.given_dtype)  # no negative index
        for x, spec in zip(inputs, program.inputs, strict=True)
    ]
    given = [x.to(spec.dtype) for x, spec in zip(own, program.inputs, strict=True)]
    device = next((t.device for t in program.tensors.values()), torch.device("cpu"))
    outputs = ProgramModule(program, copy=False).eval().run_once(tuple(x.to(device) for x in given))
    return {
        "call": pytree.treespec_dumps(program.call.tree),
        "inputs": [{"shape": list(x.shape), "dtype": str(x.dtype)[6:]} for x in own],
        "outputs": [_answer(value) for value in outputs],
    }


def _answer(value: object) -> dict[str, Any] | None:
    """Return an output's shape and evenly spread values; None if it is not a tensor.

    Integer outputs have their shape only: a comparison may fall on the other side on another
    machine.
    """
    if not isinstance(value, Tensor):
        return None
    found: dict[str, Any] = {"shape": list(value.shape)}
    if value.is_floating_point():
        flat = value.detach().double().cpu().flatten()
        some = flat[:: max(1, len(flat) // _MOST_VALUES)]
        found["values"] = [float(f"{v:.{_NUM_DIGITS}g}") for v in some.tolist()]
        found["largest"] = float(f"{float(flat.abs().max()):.{_NUM_DIGITS}g}") if len(flat) else 0
    return found


SAFETENSORS = ExportFormat(
    "safetensors",
    "weights.safetensors",
    "application/octet-stream",
    "the pruned weights under your own parameter names, for secateur.torch.load_pruned",
    write_weights,
    holds_network=False,
)
