"""Mutations of ``.pt2`` files, mostly of their graphs."""

import functools
import io
import json
import random
import zipfile
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from secateur.engine.program.exported import export
from secateur.engine.program.vocabulary import find_operator
from tests.attacks.files.payloads import pickle
from tests.attacks.files.zips import Entry, written
from tests.attacks.mutations.parts import NUMBERS, Mutate, damaged, edit_directory, edit_json
from tests.fixtures.networks import SmallNet


@functools.cache
def accepted_names() -> list[str]:
    """Return every ATen operator with an accepted overload."""
    names = {s.name[6:] for s in torch._C._jit_get_all_schemas() if s.name.startswith("aten::")}
    found = [(name, getattr(torch.ops.aten, name, None)) for name in sorted(names)]
    return [
        name
        for name, packet in found
        if isinstance(packet, torch._ops.OpOverloadPacket)
        and any(find_operator(f"torch.ops.aten.{name}.{each}") for each in packet.overloads())
    ]


class Varied(nn.Module):
    """Operators that `SmallNet` does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.GroupNorm(2, 8)
        self.up = nn.ConvTranspose2d(8, 4, 2, 2)
        self.attention = nn.Linear(4, 12)

    def forward(self, x: torch.Tensor) -> dict[str, Any]:
        y = torch.nn.functional.max_pool2d(self.norm(self.conv(x)), 2)
        left, right = y.chunk(2, dim=1)
        z = self.up(torch.cat([right, left], 1)).flatten(2).transpose(1, 2)
        q, k, v = self.attention(z).split(4, dim=-1)
        out = torch.nn.functional.scaled_dot_product_attention(q, k, v)
        grid = torch.arange(4, dtype=torch.float32).view(1, 1, -1)
        out = (out * grid).reshape(x.shape[0], -1, 2, 2)
        return {"a": nn.functional.pad(out.mean(1), (1, 1)), "b": [left.amax((2, 3)), right[:, 0]]}


def models(marker: Path) -> Mutate:
    """Return the mutations of ``.pt2`` files."""
    originals = []
    for model in (SmallNet(4), Varied()):
        torch.manual_seed(0)
        buffer = io.BytesIO()
        torch.export.save(export(model, (torch.randn(2, 1, 8, 8),)), buffer)
        with zipfile.ZipFile(buffer) as archive:
            originals.append(
                {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
            )
    jsons = ("models/model.json", "data/weights/model_weights_config.json")

    def mutate(rng: random.Random) -> tuple[str, bytes]:
        entries = dict(rng.choice(originals))
        choice = rng.random()
        if choice < 0.75:
            name = rng.choices(jsons, [4, 1])[0]
            body = json.loads(entries[name])
            for _ in range(rng.choice([1, 1, 2, 4])):
                # An edit before may have left nothing for this one to find.
                with suppress(AttributeError, IndexError, KeyError, TypeError):
                    edit_graph(rng, body) if name == jsons[0] else edit_json(rng, body)
            entries[name] = json.dumps(body).encode()
        elif choice < 0.85:
            name = rng.choice(list(entries))
            entries[name] = rng.choice([damaged(rng, entries[name]), pickle(marker)])
        found = [Entry(f"m/{name}".encode(), data) for name, data in entries.items()]
        if choice > 0.85:
            edit_directory(rng, found)
        data = written(found)
        return "pt2", damaged(rng, data) if choice > 0.95 else data

    return mutate


def edit_graph(rng: random.Random, body: Any) -> None:
    graph = body["graph_module"]["graph"]
    nodes = graph["nodes"]
    node = rng.choice(nodes)
    choice = rng.randrange(6)
    if choice == 0:
        edit_json(rng, body)
    elif choice == 1:
        node["target"] = target(rng)
    elif choice == 2 and node["inputs"]:
        own = [item["arg"] for other in nodes for item in other["inputs"]]
        rng.choice(node["inputs"])["arg"] = deepcopy(rng.choice([*own, argument(rng)]))
    elif choice == 3:
        name = f"new{rng.randrange(10**6)}"
        used = rng.choice(list(graph["tensor_values"]))
        call, arguments = schema(rng)
        inputs = [
            {"name": each, "arg": {"as_tensor": {"name": used}} if is_tensor else argument(rng),
             "kind": 1}
            for each, is_tensor in arguments
        ]  # fmt: skip
        where = rng.randrange(len(nodes) + 1)
        nodes.insert(where, {"target": call, "inputs": inputs, "metadata": {},
                             "outputs": [{"as_tensor": {"name": name}}]})  # fmt: skip
        later = [n for n in nodes[where + 1 :] if n["inputs"]]
        if later and rng.random() < 0.7:
            rng.choice(rng.choice(later)["inputs"])["arg"] = {"as_tensor": {"name": name}}
    else:
        edit_json(rng, rng.choice([node, nodes, graph["tensor_values"], body["graph_module"]]))


def target(rng: random.Random) -> str:
    return schema(rng)[0]


def schema(rng: random.Random) -> tuple[str, list[tuple[str, bool]]]:
    """Return an operator and its arguments, each with its name and whether it is a tensor."""
    if rng.random() < 0.1:
        name = rng.choice("add sub mul floordiv mod neg getitem".split())
        return f"_operator.{name}", [("", rng.random() < 0.3), ("", False)]
    packet = getattr(torch.ops.aten, rng.choice(accepted_names()))
    overload = rng.choice(packet.overloads())
    found = getattr(packet, overload)._schema.arguments
    return (
        f"torch.ops.aten.{packet.__name__}.{overload}",
        [(a.name, str(a.type) == "Tensor") for a in found
         if not a.has_default_value() or rng.random() < 0.2],
    )  # fmt: skip


def argument(rng: random.Random) -> dict[str, Any]:
    small = [-2, -1, 0, 1, 2, 3, 4, 8, 16]
    numbers = rng.choices([rng.choice(small), rng.choice(NUMBERS)], [8, 1])[0]
    several = [rng.choice(small) for _ in range(rng.randrange(5))]
    return rng.choice([
        {"as_int": numbers},
        {"as_ints": several},
        {"as_ints": [numbers] * rng.randrange(5)},
        {"as_float": rng.choice([0.0, 0.5, -1.0, 1e-5, 1e30])},
        {"as_bool": rng.random() < 0.5},
        {"as_none": True},
        {"as_string": rng.choice(["mean", "zeros", "constant", "ij,jk->ik", "...", "same", "%9d"])},
        {"as_scalar_type": rng.choice([1, 5, 6, 7, 12, 13])},
        {"as_tensor": {"name": "x"}},
        {"as_tensors": [{"name": "x"}] * rng.randrange(4)},
        {"as_optional_tensors": [{"as_none": True}, {"as_tensor": {"name": "x"}}]},
    ])  # fmt: skip
