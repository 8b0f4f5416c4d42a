"""Strict reader on thousands of mutated files: each is refused, or read exactly as written.

Accepted files are parsed again here with only ``zipfile`` and ``json``, and compared.
"""

import io
import itertools
import json
import operator
import os
import random
import struct
import traceback
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, fx, nn

from secateur.engine.errors import ModelRejectedError
from secateur.engine.program.exported import export
from secateur.engine.program.program import Program
from secateur.engine.program.reader import read_program
from tests.fixtures.networks import randomise

PER_CHUNK = 500
# More after a change of the reader: READER_CHUNKS=20 .venv/bin/pytest THIS FILE.
NUM_CHUNKS = int(os.environ.get("READER_CHUNKS", "4"))
# Files that the reader rewrites; reading one takes three times as long.
NUM_REWRITTEN = PER_CHUNK * NUM_CHUNKS // 20
GRAPH = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"
CONFIGS = {"weights": WEIGHTS, "constants": CONSTANTS}
ASSERTION_PREFIXES = ("torch.ops.aten._assert", "torch.ops.aten.sym_constrain_range")
TORCH_TYPES = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}
TARGETS = (
    "torch.ops.aten.relu.default torch.ops.aten.relu_.default torch.ops.aten.sigmoid.default "
    "torch.ops.aten.silu_.default torch.ops.aten.add.Tensor torch.ops.aten.mul.Tensor "
    "torch.ops.aten.add_.Tensor torch.ops.aten.sub.Tensor torch.ops.aten.sum.dim_IntList "
    "torch.ops.aten.amax.default torch.ops.aten.linear.default torch.ops.aten.conv1d.default "
    "torch.ops.aten.split.Tensor torch.ops.aten.unbind.int torch.ops.aten.max.dim "
    "torch.ops.aten.view.default torch.ops.aten.reshape.default torch.ops.aten.repeat.default "
    "torch.ops.aten.arange.default torch.ops.aten.full.default torch.ops.aten.sym_size.int "
    "torch.ops.aten.index.Tensor torch.ops.aten.embedding.default torch.ops.aten.copy.default "
    "torch.ops.aten.where.self torch.ops.aten.pad.default torch.ops.aten.einsum.default "
    "torch.ops.aten._assert_scalar.default torch.ops.aten._assert_async.msg "
    "torch.ops.aten.from_file.default torch.ops.aten.conv2d torch.ops.aten.conv2d.__class__ "
    "torch.ops.mylib.evil.default torch.ops.aten.nonzero.default torch.ops.aten.rand.default "
    "_operator.add _operator.getitem _operator.mod _operator.floordiv _operator.neg "
    "_operator.truediv _operator.ge torch.sym_float torch.sym_max math.trunc "
    "torch.ops.higher_order.cond _operator.pow os.system builtins.eval "
    "torch._higher_order_ops.cond torch.sym_sqrt"
).split()
VALUES = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    7,
    2**31,
    2**62,
    2**63,
    -(2**63) - 1,
    10**40,
    10**400,
    1.5,
    -0.0,
    1e308,
    "",
    "x",
    "NaN",
    "Infinity",
    "\x00",
    "\ud800",
    "../../etc/passwd",
    "a" * 5000,
    [],
    [[]],
    [None],
    [1, 2],
    {},
    {"as_int": 3},
    {"as_int": -(2**62)},
    {"as_none": True},
    {"as_tensor": {"name": "x"}},
    {"as_name": "x"},
    {"as_ints": [0] * 9},
    {"as_expr": {"expr_str": "s0*2"}},
)
ARGUMENTS = (
    {"as_none": True},
    {"as_int": 0},
    {"as_int": -1},
    {"as_int": 2**62},
    {"as_float": 0.5},
    {"as_bool": True},
    {"as_string": "zeros"},
    {"as_ints": []},
    {"as_ints": [0]},
    {"as_ints": [1, -1, 2]},
    {"as_ints": [2**40, 2**40]},
    {"as_ints": [2**62, 2**62]},
    {"as_floats": [0.5, 1.0]},
    {"as_bools": [True]},
    {"as_sym_int": {"as_int": 2}},
    {"as_sym_ints": [{"as_int": -1}, {"as_int": 1}]},
    {"as_tensor": {"name": "x"}},
    {"as_tensors": [{"name": "x"}, {"name": "x"}]},
    {"as_optional_tensors": [{"as_tensor": {"name": "x"}}, {"as_none": True}]},
    {"as_scalar_type": 7},
    {"as_scalar_type": 13},
    {"as_memory_format": 2},
    {"as_device": {"type": "cuda", "index": 7}},
    {"as_layout": 7},
    {"as_graph": {"name": "sub"}},
    {"as_complex": {"real": 1.0, "imag": 1.0}},
)
NAMES = (
    "models/model.json",
    "models/../models/model.json",
    "data/weights/weight_0",
    "data/weights/weight_99999999",
    "data/aotinductor/model.so",
    "data/constants/tensor_0",
    "data.pkl",
    "byteorder",
    "version",
    "../up",
    "/etc/passwd",
    "a\\b",
    "",
    "é",
)


@dataclass
class Original:
    """File written by torch, with its entries."""

    data: bytes
    root: str
    entries: dict[str, bytes]


Mutation = Callable[[random.Random, Original], bytes]
Read = Callable[[str], bytes]


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(torch.relu_(self.bn(self.conv(x))).mean((2, 3)))
        return logits


class Several(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.left = nn.Linear(2, 2)
        self.right = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> dict[str, Any]:
        left, right = self.conv(x).mean((2, 3)).chunk(2, dim=1)
        return {"left": self.left(left), "rest": [self.right(right), right]}


class Constants(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 4)
        self.register_buffer("shift", torch.randn(4))
        self.factor = torch.randn(4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(x)
        y = (y + self.shift) * self.factor * torch.tensor([1.0, 2.0, 3.0, 4.0])
        return y.view(x.shape[0], 2, 2)


class Rewritten(nn.Module):
    """Module whose graph the reader rewrites: numbers, branches, writes and a fixed batch."""

    stride: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.rnn = nn.Conv2d(1, 4, 3, padding=1), nn.GRU(4, 3, batch_first=True)
        self.register_buffer("stride", torch.tensor([2.0, 4.0]))

    def forward(self, x: Tensor) -> Any:
        y = self.conv(x) * (self.stride[1] / 2).item()
        y[:, 1:3] = torch.cond(y.mean() > 0, lambda v: v * 2, lambda v: v - 1, (y[:, :2].clone(),))
        sequence = self.rnn(y.mean(2).transpose(1, 2))[0]
        return sequence.reshape(x.shape[0], -1), sequence[:, [2, 0]]


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[Original]:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("originals")
    models = ((Plain(), (2, 1, 4, 4)), (Several(), (2, 1, 4, 4)), (Constants(), (2, 3)))
    return [original(export(randomise(m), (torch.randn(shape),)), folder) for m, shape in models]


@pytest.fixture(scope="module")
def rewritten(tmp_path_factory: pytest.TempPathFactory) -> list[Original]:
    torch.manual_seed(0)
    folder, model = tmp_path_factory.mktemp("rewritten"), randomise(Rewritten())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        exported = [
            torch.export.export(model, (torch.randn(1, 1, 4, 4),)),
            export(model, (torch.randn(2, 1, 4, 4),)),
        ]
    return [original(each, folder) for each in exported]


def original(exported: torch.export.ExportedProgram, folder: Path) -> Original:
    path = folder / "model.pt2"
    torch.export.save(exported, path)
    data = path.read_bytes()
    return Original(data, *read_entries(data))


def read_entries(data: bytes) -> tuple[str, dict[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        root = names[0].split("/")[0]
        return root, {name[len(root) + 1 :]: archive.read(name) for name in names}


def write_entries(root: str, entries: list[tuple[str, bytes]]) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")
        for name, data in entries:
            archive.writestr(zipfile.ZipInfo(f"{root}/{name}" if root else name), data)
    return file.getvalue()


def with_entries(original: Original, **changed: bytes) -> bytes:
    return write_entries(original.root, list((original.entries | changed).items()))


def with_json(original: Original, entry: str, body: Any) -> bytes:
    return with_entries(original, **{entry: json.dumps(body).encode()})


def flip_bytes(rng: random.Random, original: Original) -> bytes:
    data = bytearray(original.data)
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def flip_headers(rng: random.Random, original: Original) -> bytes:
    data = bytearray(original.data)
    magic = rng.choice([b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"])
    places = [i for i in range(len(data) - 4) if data.startswith(magic, i)]
    if magic == b"PK\x03\x04":
        data[rng.choice(places) + rng.randrange(4, 30)] = rng.randrange(256)
        return bytes(data)
    place = rng.choice(places) + rng.randrange(4, 46)
    width = rng.choice(["<B", "<H", "<I"])
    top = 2 ** (8 * struct.calcsize(width)) - 1
    place = min(place, len(data) - struct.calcsize(width))
    struct.pack_into(width, data, place, rng.choice([0, 1, 8, top, top // 2, rng.randint(0, top)]))
    return bytes(data)


def cut(rng: random.Random, original: Original) -> bytes:
    data = original.data
    start, end = sorted(rng.choices(range(len(data)), k=2))
    return rng.choice(
        [
            data[:start],
            data[start:],
            data[:start] + data[end:],
            data[:start] + rng.randbytes(rng.randint(1, 40)) + data[start:],
            data[:end] + data[start:],
            data + data[start:end],
        ]
    )


def rename_entry(rng: random.Random, original: Original) -> bytes:
    entries = list(original.entries.items())
    number = rng.randrange(len(entries))
    name, data = entries[number]
    entries[number] = (
        rng.choice([*NAMES, *original.entries, name + "/", name.upper(), name + "0", name[:-1]]),
        data,
    )
    return write_entries(rng.choice([original.root] * 4 + ["", "..", "r"]), entries)


def repeat_entry(rng: random.Random, original: Original) -> bytes:
    entries = list(original.entries.items())
    name, data = rng.choice(entries)
    entries.insert(rng.randrange(len(entries)), (name, rng.choice([data, b"", b"{}", data[:-1]])))
    return write_entries(original.root, entries)


def drop_or_move_entry(rng: random.Random, original: Original) -> bytes:
    entries = list(original.entries.items())
    taken = entries.pop(rng.randrange(len(entries)))
    if rng.random() < 0.5:
        entries.insert(rng.randrange(len(entries)), taken)
    return write_entries(original.root, entries)


def change_payload(rng: random.Random, original: Original) -> bytes:
    name = rng.choice([n for n in original.entries if not n.endswith(".json")])
    data = bytearray(original.entries[name])
    choice = rng.randrange(4)
    if choice == 0:
        data = data[: rng.randrange(len(data))]
    elif choice == 1:
        data += rng.randbytes(rng.randint(1, 16))
    else:
        data[rng.randrange(len(data))] = rng.randrange(256)
    return with_entries(original, **{name: bytes(data)})


def swap_payloads(rng: random.Random, original: Original) -> bytes:
    names = [n for n in original.entries if "/weight_" in n or "/tensor_" in n]
    a, b = rng.sample(names, 2)
    entries = original.entries
    return with_entries(original, **{a: entries[b], b: entries[a]})


def spoil_json_text(rng: random.Random, original: Original) -> bytes:
    name = rng.choice([GRAPH, WEIGHTS, CONSTANTS])
    data = bytearray(original.entries[name])
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data))
        data[at : at + rng.randint(0, 2)] = rng.choice(
            [b"", b"1", b"-", b"e9", b'"', b"{", b"]", b"NaN", b"\xff", b",", bytes([data[at] ^ 1])]
        )
    return with_entries(original, **{name: bytes(data)})


def places(body: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(body) if isinstance(body, dict) else range(len(body))
    for key in keys:
        yield body, key
        if isinstance(body[key], (dict, list)):
            yield from places(body[key])


def edit_anywhere(rng: random.Random, body: Any) -> None:
    inside, key = rng.choice(list(places(body)))
    choice = rng.randrange(6)
    if choice == 0:
        del inside[key]
    elif choice == 1 and isinstance(inside, list):
        inside.insert(key, inside[rng.randrange(len(inside))])
    elif choice == 1:
        inside[rng.choice(["x", "as_int", key + "_"])] = inside.pop(key)
    elif choice == 2 and isinstance(inside[key], int):
        inside[key] = inside[key] + rng.choice([-2, -1, 1, 2, 2**20, 2**40])
    elif choice == 3 and len(inside) > 1:
        other = rng.choice(list(inside) if isinstance(inside, dict) else range(len(inside)))
        inside[key], inside[other] = inside[other], inside[key]
    else:
        inside[key] = rng.choice(VALUES)


def edit_graph(rng: random.Random, original: Original) -> bytes:
    body = json.loads(original.entries[GRAPH])
    module = body["graph_module"]
    parts = [module["graph"]["nodes"], module["signature"], module["graph"], body]
    for _ in range(rng.choice([1, 1, 1, 2])):
        edit_anywhere(rng, rng.choices(parts, weights=[5, 3, 1, 1])[0])
    return with_json(original, GRAPH, body)


def edit_arguments(rng: random.Random, original: Original) -> bytes:
    body = json.loads(original.entries[GRAPH])
    nodes = body["graph_module"]["graph"]["nodes"]
    for is_last in rng.choice([[True], [True], [False, True]]):
        inputs = rng.choice([n["inputs"] for n in nodes if n["inputs"]])
        number = rng.randrange(len(inputs))
        choice = rng.randrange(8 if is_last else 6)
        if choice == 0:
            del inputs[number]
        elif choice == 1:
            del inputs[number:]
        elif choice == 2:
            rng.shuffle(inputs)
        elif choice == 3:
            others = [item["arg"] for n in nodes for item in n["inputs"]]
            inputs[number]["arg"] = rng.choice(others)
        elif choice < 6:
            inputs[number]["arg"] = rng.choice(ARGUMENTS)
        else:
            edit_anywhere(rng, inputs[number]["arg"] if choice == 6 else inputs)
    return with_json(original, GRAPH, body)


def retarget(rng: random.Random, original: Original) -> bytes:
    body = json.loads(original.entries[GRAPH])
    nodes = body["graph_module"]["graph"]["nodes"]
    own = [n["target"] for n in nodes]
    rng.choice(nodes)["target"] = rng.choice([*TARGETS, *own])
    if rng.random() < 0.3:
        nodes.insert(rng.randrange(len(nodes)), json.loads(json.dumps(rng.choice(nodes))))
    return with_json(original, GRAPH, body)


def rewire(rng: random.Random, original: Original) -> bytes:
    body = json.loads(original.entries[GRAPH])
    module = body["graph_module"]
    names = [*module["graph"]["tensor_values"], "nobody", "", "x" * 600]
    wanted = [
        (inside, key)
        for part in (module["graph"]["nodes"], module["signature"])
        for inside, key in places(part)
        if key == "name" and inside[key] in names
    ]
    for inside, key in rng.sample(wanted, rng.randint(1, 2)):
        inside[key] = rng.choice(names)
    return with_json(original, GRAPH, body)


def edit_tensors(rng: random.Random, original: Original) -> bytes:
    body, entry = {"config": {}}, WEIGHTS
    while not body["config"]:
        entry = rng.choice([WEIGHTS, CONSTANTS])
        body = json.loads(original.entries[entry])
    config: dict[str, Any] = body["config"]
    name = rng.choice(list(config))
    payload = config[name]
    meta = payload["tensor_meta"]
    numbers = [*range(-1, 9), 16, 36, 2**20, 2**31, 2**40, 2**63, -(2**63), None, True, "4", 1.0]
    edits: list[Callable[[], object]] = [
        lambda: rng.choice(meta["sizes"] or [{}]).update(as_int=rng.choice(numbers)),
        lambda: rng.choice(meta["strides"] or [{}]).update(as_int=rng.choice(numbers)),
        lambda: meta["storage_offset"].update(as_int=rng.choice(numbers)),
        lambda: meta.update(dtype=rng.choice([*range(15), 28, 99, -1, None, True, "7", 7.0])),
        lambda: meta.update(layout=rng.choice([*range(9), None, "7"])),
        lambda: rng.shuffle(meta["sizes"]),
        lambda: rng.shuffle(meta["strides"]),
        lambda: meta.update(sizes=meta["sizes"][:-1], strides=meta["strides"][:-1]),
        lambda: meta.update(
            sizes=[{"as_int": 1}, *meta["sizes"]], strides=[{"as_int": 0}, *meta["strides"]]
        ),
        lambda: payload.update(path_name=rng.choice([p["path_name"] for p in config.values()])),
        lambda: payload.update(path_name=rng.choice([*NAMES, "weight_7", "tensor_1", "weight_٣"])),
        lambda: payload.update(use_pickle=rng.choice([True, None, 0, "", "false", False])),
        lambda: payload.update(is_param=rng.choice([True, False, None])),
        lambda: config.update(
            {rng.choice([*config, "a.b", "a b", "..", "conv"]): config.pop(name, payload)}
        ),
        lambda: edit_anywhere(rng, payload),
    ]
    for edit in [*rng.choices(edits[:-2], k=rng.randint(0, 1)), rng.choice(edits)]:
        edit()
    return with_json(original, entry, body)


# Weights of the draws; mutations that the zip layer refuses at once test less.
MUTATIONS: dict[Mutation, int] = {
    flip_bytes: 4,
    flip_headers: 4,
    cut: 2,
    rename_entry: 2,
    repeat_entry: 1,
    drop_or_move_entry: 1,
    change_payload: 3,
    swap_payloads: 2,
    spoil_json_text: 3,
    edit_graph: 6,
    edit_arguments: 6,
    retarget: 5,
    rewire: 5,
    edit_tensors: 8,
}


def check_matches_file(program: Program, data: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        assert len(set(names)) == len(names)
        root = names[0].split("/")[0]
        check_program(program, lambda name: archive.read(f"{root}/{name}"), set(names), root)


def check_program(program: Program, read: Read, names: set[str], root: str) -> None:
    module = json.loads(read(GRAPH))["graph_module"]
    specs = [next(iter(s.items())) for s in module["signature"]["input_specs"]]
    payloads = {
        name: (kind, payload)
        for kind, config in CONFIGS.items()
        if f"{root}/{config}" in names
        for name, payload in json.loads(read(config))["config"].items()
    }
    values: dict[str, fx.Node] = {}
    nodes = iter(program.graph.nodes)
    inputs = iter(program.inputs)
    for kind, spec in specs:
        node = next(nodes)
        if kind == "user_input":
            name = spec["arg"]["as_tensor"]["name"]
            meta = module["graph"]["tensor_values"][name]
            given = next(inputs)
            assert node.op == "placeholder"
            assert given.shape == (None, *(size["as_int"] for size in meta["sizes"][1:]))
            assert (given.own_dtype or given.dtype) == TORCH_TYPES[meta["dtype"]]
        else:
            name = spec["arg"]["name"]
            target = spec[f"{kind}_name"]
            assert node.op == "get_attr"
            folder, payload = payloads[target]
            assert str(node.target) == target or share(payloads[str(node.target)], payloads[target])
            path = f"data/{folder}/{payload['path_name']}"
            check_tensor(program.tensors[str(node.target)], payload, path, read)
        values[name] = node
    assert next(inputs, None) is None
    assert set(program.tensors) == {
        str(n.target) for n in program.graph.nodes if n.op == "get_attr"
    }
    check_calls(module["graph"]["nodes"], nodes, values)
    check_outputs(module["signature"]["output_specs"], next(nodes), values)
    assert next(nodes, None) is None
    assert program.output_tree.num_leaves == len(module["signature"]["output_specs"])


def share(a: tuple[str, Any], b: tuple[str, Any]) -> bool:
    return (a[0], a[1]["path_name"]) == (b[0], b[1]["path_name"])


def check_tensor(tensor: Tensor, payload: Any, path: str, read: Read) -> None:
    meta = payload["tensor_meta"]
    shape = tuple(size["as_int"] for size in meta["sizes"])
    assert payload["use_pickle"] is False
    own = TORCH_TYPES[meta["dtype"]]
    assert tensor.dtype in ({own, torch.float32} if own.is_floating_point else {own})
    assert tuple(tensor.shape) == shape
    if tensor.numel() == 0:
        return
    index = np.full(shape, meta["storage_offset"]["as_int"])
    for axis, step in zip(np.indices(shape), meta["strides"], strict=True):
        index += axis * step["as_int"]
    width, data = own.itemsize, read(path)
    stored = b"".join(data[i * width : (i + 1) * width] for i in index.flatten().tolist())
    if tensor.dtype == torch.bool:
        stored = bytes(map(bool, stored))
    found = torch.empty(shape, dtype=tensor.dtype).copy_(tensor)
    given = torch.frombuffer(bytearray(stored), dtype=own).to(tensor.dtype)
    assert to_bytes(found) == to_bytes(given)


def to_bytes(tensor: Tensor) -> bytes:
    return tensor.view(-1).view(torch.uint8).numpy().tobytes()


def check_calls(calls: Any, nodes: Iterator[fx.Node], values: dict[str, fx.Node]) -> None:
    for call in calls:
        if call["target"].startswith(ASSERTION_PREFIXES):
            continue
        node = next(nodes)
        assert node.op == "call_function"
        functional, is_in_place = functional_target(call["target"])
        assert target_name(node.target) == functional
        check_arguments(call, node, values)
        if is_in_place:
            written = values[next(iter(call["inputs"]))["arg"]["as_tensor"]["name"]]
            values.update({k: node for k, v in values.items() if v is written})
        kinds = [next(iter(output.items())) for output in call["outputs"]]
        is_list = any(kind == "as_tensors" for kind, _ in kinds)
        names = [
            name
            for kind, body in kinds
            for name in (
                [entry["name"] for entry in body]
                if kind == "as_tensors"
                else [body["as_name" if kind.startswith("as_sym") else "name"]]
            )
        ]
        if len(names) == 1 and not is_list:
            values[names[0]] = node
            continue
        for number, name in enumerate(names):
            item = next(nodes)
            assert (item.target, item.args) == (operator.getitem, (node, number))
            values[name] = item


def check_arguments(call: Any, node: fx.Node, values: dict[str, fx.Node]) -> None:
    expected = {item["name"]: expected_value(item["arg"], values) for item in call["inputs"]}
    if not isinstance(node.target, torch._ops.OpOverload):
        assert not node.kwargs
        assert same(node.args, [expected_value(item["arg"], values) for item in call["inputs"]])
        return
    names = [argument.name for argument in node.target._schema.arguments]
    done = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
    assert len(expected) == len(call["inputs"])
    assert done.keys() == expected.keys()
    for name, value in expected.items():
        assert same(done[name], value), (name, done[name], value)


def expected_value(argument: Any, values: dict[str, fx.Node]) -> Any:
    """Return the value of a serialised argument, or ``...`` for kinds that are not compared."""
    kind, body = next(iter(argument.items()))
    if kind == "as_sym_int":
        return body["as_int"] if body.get("as_int") is not None else values[body["as_name"]]
    by_kind: dict[str, Callable[[], Any]] = {
        "as_none": lambda: None,
        "as_float": lambda: float(body),
        "as_floats": lambda: [float(number) for number in body],
        **dict.fromkeys(["as_tensor", "as_optional_tensor"], lambda: node_value(body, values)),
        **dict.fromkeys(
            ["as_tensors", "as_optional_tensors"],
            lambda: [node_value(entry, values) for entry in body],
        ),
        "as_sym_ints": lambda: [expected_value({"as_sym_int": entry}, values) for entry in body],
        **dict.fromkeys("as_int as_ints as_bool as_bools as_string".split(), lambda: body),
    }
    return by_kind.get(kind, lambda: ...)()


def node_value(body: Any, values: dict[str, fx.Node]) -> fx.Node | None:
    if "as_none" in body:
        return None
    return values[(body.get("as_tensor") or body)["name"]]


def same(found: Any, expected: Any) -> bool:
    if expected is ...:
        return True
    if isinstance(found, (list, tuple)) and isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(found, fx.Node) or isinstance(expected, fx.Node):
        return found is expected
    return type(found) is type(expected) and (found == expected or found != found)  # noqa: PLR0124  # NaN


def check_outputs(specs: Any, output: fx.Node, values: dict[str, fx.Node]) -> None:
    assert output.op == "output"
    found = output.args[0]
    assert isinstance(found, tuple)
    assert len(found) == len(specs)
    for spec, value in zip(specs, found, strict=True):
        expected = expected_value(spec["user_output"]["arg"], values)
        assert same(value, expected)


def target_name(target: object) -> str:
    if isinstance(target, torch._ops.OpOverload):
        return f"torch.ops.{target}"
    return f"{target.__module__}.{target.__name__}"  # type: ignore[attr-defined]


def functional_target(target: str) -> tuple[str, bool]:
    if not target.startswith("torch.ops.aten."):
        return target, False
    name, overload = target.removeprefix("torch.ops.aten.").split(".")
    plain = name.removesuffix("_")
    return f"torch.ops.aten.{plain}.{overload}", plain != name


@pytest.mark.timeout(300)
@pytest.mark.parametrize("chunk", range(NUM_CHUNKS))
def test_a_mutated_file_is_refused_or_read_as_written(
    chunk: int, originals: list[Original], tmp_path: Path
) -> None:
    rng = random.Random(chunk)  # noqa: S311  # reproducible, not secret
    path = tmp_path / "mutated.pt2"
    refused, wrong = [], []
    for number, original in zip(range(PER_CHUNK), itertools.cycle(originals), strict=False):
        mutation = rng.choices(list(MUTATIONS), list(MUTATIONS.values()))[0]
        data = mutation(rng, original)
        path.write_bytes(data)
        try:
            check_matches_file(read_program(path), data)
        except ModelRejectedError as error:
            refused.append(str(error))
        except Exception as error:  # noqa: BLE001  # any other exception is a failure
            frame = traceback.extract_tb(error.__traceback__)[-1]
            wrong.append(f"{number} {mutation.__name__}: {error!r:.300} in {frame.name}")
    assert not wrong
    assert all(refused)
    assert list(tmp_path.iterdir()) == [path]
    assert PER_CHUNK * 0.4 < len(refused) < PER_CHUNK * 0.95


@pytest.mark.timeout(300)
def test_a_mutated_file_that_the_reader_rewrites_is_refused_or_read(
    rewritten: list[Original], tmp_path: Path
) -> None:
    rng = random.Random(1000)  # noqa: S311  # reproducible, not secret
    path = tmp_path / "mutated.pt2"
    for given in rewritten:
        path.write_bytes(given.data)
        assert read_program(path).inputs[0].shape == (None, 1, 4, 4)
    num_refused = 0
    for _, given in zip(range(NUM_REWRITTEN), itertools.cycle(rewritten), strict=False):
        mutation = rng.choices(list(MUTATIONS), list(MUTATIONS.values()))[0]
        path.write_bytes(mutation(rng, given))
        try:
            read_program(path)
        except ModelRejectedError:
            num_refused += 1
    assert list(tmp_path.iterdir()) == [path]
    assert NUM_REWRITTEN * 0.4 < num_refused < NUM_REWRITTEN * 0.95


def test_files_written_by_torch_are_read_as_written(
    originals: list[Original], tmp_path: Path
) -> None:
    for number, original in enumerate(originals):
        path = tmp_path / f"{number}.pt2"
        path.write_bytes(original.data)
        check_matches_file(read_program(path), original.data)
        path.write_bytes(with_entries(original))
        check_matches_file(read_program(path), original.data)
