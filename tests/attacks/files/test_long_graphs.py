"""Graphs of many nodes: the work of reading and analysing them grows no faster than they do."""

import cProfile
import pstats
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from secateur.engine.graph import analyse
from secateur.engine.program.reader import read_program
from tests.attacks.files.test_programs import GRAPH, edited
from worker.pipeline.job.checks import check_computes
from worker.pipeline.report.describe import verdict

AFTER = "batch_norm"  # a value of `SmallNet`
FEW, TIMES = 100, 4
Value = dict[str, Any]


def tensor(name: str) -> Value:
    return {"as_tensor": {"name": name}}


def size(name: str) -> Value:
    return {"as_sym_int": {"as_name": name}}


def call(target: str, result: Value, **arguments: Value) -> Value:
    inputs = [{"name": name, "arg": value, "kind": 1} for name, value in arguments.items()]
    return {"target": target, "inputs": inputs, "outputs": [result], "metadata": {}, "name": "n"}


def relu(name: str, result: str) -> Value:
    return call("torch.ops.aten.relu.default", tensor(result), self=tensor(name))


def chain(num_calls: int) -> tuple[list[Value], str]:
    names = [AFTER, *(f"e{i}" for i in range(num_calls))]
    return [relu(*pair) for pair in pairwise(names)], names[-1]


def sums(num_calls: int) -> tuple[list[Value], str]:
    """Every call reads the first value and the last."""
    names = [AFTER, *(f"e{i}" for i in range(num_calls))]
    add = "torch.ops.aten.add.Tensor"
    calls = [
        call(add, tensor(result), self=tensor(AFTER), other=tensor(name))
        for name, result in pairwise(names)
    ]
    return calls, names[-1]


def fan(num_calls: int) -> tuple[list[Value], str]:
    """One value goes to every call, and one call reads all results."""
    names = [f"e{i}" for i in range(num_calls)]
    joined = {"as_tensors": [{"name": name} for name in names]}
    cat = call("torch.ops.aten.cat.default", tensor("c"), tensors=joined, dim={"as_int": 2})
    mean = call(
        "torch.ops.aten.mean.dim",
        tensor("m"),
        self=tensor("c"),
        dim={"as_ints": [2]},
        keepdim={"as_bool": True},
    )
    product = call("torch.ops.aten.mul.Tensor", tensor("p"), self=tensor(AFTER), other=tensor("m"))
    return [*(relu(AFTER, name) for name in names), cat, mean, product], "p"


def sizes(num_calls: int) -> tuple[list[Value], str]:
    """Expressions of sizes, nested as deep as the graph is long."""
    first = call("torch.ops.aten.sym_size.int", size("s0"), self=tensor(AFTER), dim={"as_int": 0})
    one = {"as_sym_int": {"as_int": 1}}
    calls = [
        call("_operator.add", size(f"s{i + 1}"), a=size(f"s{i}"), b=one) for i in range(num_calls)
    ]
    return [first, *calls], AFTER


def num_operations(path: Path, calls: list[Value], end: str) -> int:
    """Return the functions called to take in a model that has these calls inside."""

    def edit(body: Any) -> None:
        nodes = body["graph_module"]["graph"]["nodes"]
        place = next(i for i, node in enumerate(nodes) if node["outputs"][0] == tensor(AFTER)) + 1
        for argument in (each for node in nodes[place:] for each in node["inputs"]):
            if argument["arg"] == tensor(AFTER):
                argument["arg"] = tensor(end)
        nodes[place:place] = calls

    path.write_bytes(edited(GRAPH, edit))
    with cProfile.Profile() as profile:
        program = read_program(path)
        check_computes(program)
        verdict(program, analyse(program))
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


@pytest.mark.parametrize("make", [chain, sums, fan, sizes])
def test_intake_does_four_times_the_work_for_four_times_the_nodes(
    make: Callable[[int], tuple[list[Value], str]], tmp_path: Path
) -> None:
    few, many = (num_operations(tmp_path / "m.pt2", *make(n)) for n in (FEW, FEW * TIMES))
    assert many < few * TIMES * 1.1, (few, many)


def test_a_chain_deeper_than_the_recursion_limit_is_taken_in(tmp_path: Path) -> None:
    for make in (chain, sizes):
        assert num_operations(tmp_path / "m.pt2", *make(1100)) > 1100
