"""Real sessions: which networks are batched, and that batching changes no result."""

from pathlib import Path

import numpy as np
import pytest

from app.contracts.settings import InferenceSettings
from app.inference.measure import measure_batch
from app.inference.sessions import run_batch
from tests.integration.inference.networks import load, node, write_convolutions, write_onnx

BATCH: list[int | str] = ["batch", 4]


def test_batching_changes_no_output(tmp_path: Path) -> None:
    model = load(write_convolutions(tmp_path / "m.onnx"))
    random = np.random.default_rng(1)
    requests = [
        {"input": random.standard_normal((size, 1, 12, 12)).astype(np.float32)}
        for size in (1, 3, 2, 1, 7)
    ]
    together, _ = run_batch(model, requests, None)
    for request, found in zip(requests, together, strict=True):
        (alone,), _ = run_batch(model, [request], None)
        assert found["output"].shape == alone["output"].shape
        # Sums of the linear layer are ordered by the size of the batch: equal within float32.
        assert np.allclose(found["output"], alone["output"], rtol=1e-5, atol=1e-4)


def test_a_network_of_independent_samples_is_batched_up_to_what_was_measured(
    tmp_path: Path,
) -> None:
    path = write_convolutions(tmp_path / "m.onnx")
    assert measure_batch(load(path), InferenceSettings(batch_seconds=1)) > 1
    assert measure_batch(load(path), InferenceSettings(max_batch_items=7)) == 7
    assert measure_batch(load(path), InferenceSettings(max_batch_items=1)) == 1
    assert measure_batch(load(path), InferenceSettings(batch_seconds=1e-9)) == 1  # too slow


@pytest.mark.parametrize(
    ("kind", "shapes"),
    [
        ("fixed", ([2, 4], [2, 4])),
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
        "fixed": [node("Relu", ["x"], ["y"])],
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
    assert measure_batch(load(path), InferenceSettings(max_batch_items=8)) == 1


def test_sizes_that_cannot_be_made_up_are_not_batched(tmp_path: Path) -> None:
    shape: list[int | str] = ["batch", 1, "height", "width"]
    path = write_onnx(tmp_path / "m.onnx", [node("Relu", ["x"], ["y"])], {"x": shape}, {"y": shape})
    assert measure_batch(load(path), InferenceSettings(max_batch_items=8)) == 1


def test_the_outputs_that_are_wanted_are_computed_and_no_others(tmp_path: Path) -> None:
    path = write_onnx(
        tmp_path / "m.onnx",
        [node("Relu", ["x"], ["y"]), node("Neg", ["x"], ["z"])],
        {"x": BATCH},
        {"y": BATCH, "z": BATCH},
    )
    model, x = load(path), np.ones((2, 4), np.float32)
    assert [spec.dtype for spec in (*model.inputs, *model.outputs)] == ["float32"] * 3
    (found,), _ = run_batch(model, [{"x": x}], ("z",))
    assert list(found) == ["z"]
    assert (found["z"] == -x).all()
