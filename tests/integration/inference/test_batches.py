"""Real sessions: which networks are batched, and that batching changes no result."""

from pathlib import Path

import numpy as np
import pytest

from app.contracts.settings import InferenceSettings
from app.serving.description import Arrays
from app.serving.measure import measure
from app.serving.memory import Meter
from app.serving.sessions import Session, run
from tests.integration.inference.networks import load, node, write_convolutions, write_onnx

BATCH: list[int | str] = ["batch", 4]


def max_items(session: Session, **settings: object) -> int:
    return measure(session, InferenceSettings(**settings), Meter()).max_items  # type: ignore[arg-type]


def compute(session: Session, arrays: Arrays, outputs: tuple[str, ...] | None = None) -> Arrays:
    return run(session, arrays, outputs)[0]


def test_batching_changes_no_output(tmp_path: Path) -> None:
    model = load(write_convolutions(tmp_path / "m.onnx"))
    random = np.random.default_rng(1)
    requests = [
        {"input": random.standard_normal((size, 1, 12, 12)).astype(np.float32)}
        for size in (1, 3, 2, 1, 7)
    ]
    together = compute(model, {"input": np.concatenate([r["input"] for r in requests])})
    start = 0
    for request in requests:
        alone = compute(model, request)["output"]
        found = together["output"][start : start + len(alone)]
        start += len(alone)
        # Sums of the linear layer are ordered by the size of the batch: equal within float32.
        assert np.allclose(found, alone, rtol=1e-5, atol=1e-4)


def test_a_network_of_independent_samples_is_batched_up_to_what_was_measured(
    tmp_path: Path,
) -> None:
    path = write_convolutions(tmp_path / "m.onnx")
    assert max_items(load(path), batch_seconds=1) > 1
    assert max_items(load(path), max_batch_items=7) == 7
    assert max_items(load(path), max_batch_items=1) == 1
    assert max_items(load(path), batch_seconds=1e-9) == 1  # too slow


@pytest.mark.parametrize(
    ("kind", "shapes"),
    [
        ("another dimension", (["batch", 4], [4, "batch"])),
        ("not the batch", (["batch", 4], ["other", 4])),
        ("a mean over the batch", (BATCH, BATCH)),
        ("one number for all", (BATCH, [])),
    ],
)
def test_a_network_without_a_batch_dimension_is_never_batched(
    kind: str, shapes: tuple[list[int | str], list[int | str]], tmp_path: Path
) -> None:
    axis = np.array([0])
    nodes = {
        "another dimension": [node("Transpose", ["x"], ["y"], perm=[1, 0])],
        "not the batch": [node("Concat", ["x", "x"], ["y"], axis=0)],
        "a mean over the batch": [
            node("ReduceMean", ["x", "axis"], ["m"]),
            node("Sub", ["x", "m"], ["y"]),
        ],
        "one number for all": [node("ReduceMean", ["x"], ["y"], keepdims=0)],
    }[kind]
    weights = {"axis": axis} if kind == "a mean over the batch" else {}
    path = write_onnx(tmp_path / "m.onnx", nodes, {"x": shapes[0]}, {"y": shapes[1]}, **weights)
    assert max_items(load(path), max_batch_items=8) == 1


def test_sizes_that_cannot_be_made_up_are_not_batched(tmp_path: Path) -> None:
    shape: list[int | str] = ["batch", 1, "height", "width"]
    path = write_onnx(tmp_path / "m.onnx", [node("Relu", ["x"], ["y"])], {"x": shape}, {"y": shape})
    assert max_items(load(path), max_batch_items=8) == 1


def test_the_outputs_that_are_wanted_are_computed_and_no_others(tmp_path: Path) -> None:
    path = write_onnx(
        tmp_path / "m.onnx",
        [node("Relu", ["x"], ["y"]), node("Neg", ["x"], ["z"])],
        {"x": BATCH},
        {"y": BATCH, "z": BATCH},
    )
    model, x = load(path), np.ones((2, 4), np.float32)
    assert [spec.dtype for spec in (*model.model.inputs, *model.model.outputs)] == ["float32"] * 3
    found = compute(model, {"x": x}, ("z",))
    assert list(found) == ["z"]
    assert (found["z"] == -x).all()
