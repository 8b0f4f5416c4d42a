"""The search for an int8 file, on small networks of every awkward kind."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import ModelProto, TensorProto, helper
from torch import Tensor

from app.contracts.onnx_files import check_onnx
from app.contracts.settings import LimitSettings
from secateur.engine.errors import DataError, ExportError
from secateur.engine.quantize import (
    Quality,
    Quantized,
    QuantizeOptions,
    Run,
    quantize,
    write_int8,
)
from secateur.engine.quantize.fusion import count_fused
from secateur.engine.quantize.reasons import too_slow
from tests.fixtures.onnx_graphs import drawn, network, node, saved

BATCHES = [(torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)),)]
# Which file is faster on the machine of the test is not the subject, except where it is.
ANY_SPEED = QuantizeOptions(max_drop=1.0, must_be_faster=False, batch_sizes=(1,), seconds=0.01)


def classifier(num_middle: int = 1, imbalance: float = 1.0, opset: int = 18) -> ModelProto:
    """Return convolutions with Relu, a mean and a Gemm.

    The second convolution gives one channel that is ``imbalance`` times as large, and the third
    divides it again, so the outputs stay the same.
    """
    nodes, weights, value = [], {}, "x"
    for number in range(num_middle + 1):
        size = 3 if number == 0 else 8
        weights[f"w{number}"] = drawn(8, size, 3, 3, seed=number) / 3
        nodes += [
            node("Conv", f"{value} w{number}", f"c{number}", pads=[1, 1, 1, 1]),
            node("Relu", f"c{number}", f"r{number}"),
        ]
        value = f"r{number}"
    if imbalance != 1:
        weights["w1"][0] *= imbalance
        weights["w2"][:, 0] /= imbalance
    weights |= {"head": drawn(8, 4, seed=9), "bias": drawn(4, seed=8)}
    nodes += [
        node("GlobalAveragePool", value, "p"),
        node("Flatten", "p", "f"),
        node("Gemm", "f head bias", "y"),
    ]
    return network(*nodes, weights=weights, opset=opset)


def search(
    model: ModelProto,
    folder: Path,
    options: QuantizeOptions = ANY_SPEED,
    batches: Sequence[tuple[Tensor, ...]] = BATCHES,
    judge: Callable[[Run], Quality] | None = None,
) -> Quantized:
    source = saved(model, folder)
    return quantize(source, folder / "int8.onnx", batches, judge=judge, options=options)


def test_a_kept_file_is_smaller_answers_alike_and_computes_in_integers(tmp_path: Path) -> None:
    found = search(classifier(num_middle=2), tmp_path, batches=BATCHES * 2)
    assert found.is_kept, found.reason
    assert found.after is not None
    assert found.after.metric == "agreement"
    check_onnx((tmp_path / "int8.onnx").read_bytes(), LimitSettings())  # as the service does
    fusion = count_fused(tmp_path / "int8.onnx")
    assert fusion.num_integer >= 2
    assert found.chosen is not None
    assert found.chosen.fusion == fusion
    ours, fp32 = (
        ort.InferenceSession(tmp_path / name).run(None, {"x": BATCHES[0][0].numpy()})[0]
        for name in ("int8.onnx", "model.onnx")
    )
    assert np.abs(ours - fp32).max() < 0.05 * np.abs(fp32).max()
    assert "agreement" in found.reason
    assert "from 8 samples" in found.notes[0]


def test_a_file_that_is_not_faster_is_not_kept_and_the_reason_says_so(tmp_path: Path) -> None:
    found = search(classifier(), tmp_path, QuantizeOptions(least_speedup=1000.0, seconds=0.01))
    assert not found.is_kept
    assert not (tmp_path / "int8.onnx").exists()
    assert "1000x is required" in found.reason
    assert "layers, ONNX Runtime computes" in found.reason
    assert found.before is None  # a slow file is not judged
    assert found.latency is not None
    assert {trial.speedup is not None for trial in found.trials} == {True}


def test_the_reason_for_slowness_names_the_conversions_that_are_left(tmp_path: Path) -> None:
    weights = {"w": drawn(8, 3, 3, 3), "v": drawn(8, 8, 3, 3)}
    model = network(
        node("Conv", "x w", "a"), node("Sin", "a", "b"), node("Conv", "b v", "y"), weights=weights
    )
    found = search(model, tmp_path)
    reason = too_slow(found, 2, 1.05)
    assert "conversions between integers and float are left" in reason
    assert "Sin" in reason


def test_layers_that_lose_most_stay_float_until_the_promise_holds(tmp_path: Path) -> None:
    """One large channel leaves no int8 values to the others between the second and third layer."""
    source = saved(classifier(num_middle=5, imbalance=3000.0), tmp_path)
    int8 = tmp_path / "int8.onnx"
    options = replace(ANY_SPEED, max_drop=0.05)
    fp32, x = ort.InferenceSession(source), BATCHES[0][0]
    wanted = fp32.run(None, {"x": x.numpy()})[0]

    def judge(run: Run) -> Quality:
        error = float(np.abs(run((x,))[0].numpy() - wanted).max() / np.abs(wanted).max())
        return Quality("output_error", error, -error, len(x))

    found = quantize(source, int8, BATCHES, judge=judge, options=options)
    assert found.is_kept, (found.reason, [trial.drop for trial in found.trials])
    named = {layer.name for layer in found.float_layers if layer.reason == "loses most in int8"}
    assert named == {"w1", "w2"}
    assert min(t.drop for t in found.trials if t.num_float == 0 and t.drop is not None) > 0.05
    assert judge(lambda batch: _run(int8, batch)).value <= 0.05


def test_a_promise_that_cannot_be_kept_is_refused_with_the_nearest_quality(tmp_path: Path) -> None:
    def judge(run: Run) -> Quality:
        del run
        judge.calls += 1  # type: ignore[attr-defined]
        value = 0.9 if judge.calls == 1 else 0.5  # type: ignore[attr-defined]
        return Quality("top1", value, value, 20)

    judge.calls = 0  # type: ignore[attr-defined]
    found = search(
        classifier(num_middle=2), tmp_path, replace(ANY_SPEED, max_drop=0.01), judge=judge
    )
    assert not found.is_kept
    assert "top1 0.5000 on 20 samples, the fp32 file 0.9000" in found.reason
    assert {trial.calibration for trial in found.trials} == {"minmax", "percentile", "entropy"}
    assert max(trial.num_float for trial in found.trials) > 0


def test_a_quality_that_is_not_a_number_keeps_no_promise(tmp_path: Path) -> None:
    found = search(
        classifier(), tmp_path, judge=lambda _: Quality("loss", float("nan"), float("nan"), 1)
    )
    assert not found.is_kept


def test_a_network_without_layers_has_no_int8_file_and_its_operators_are_named(
    tmp_path: Path,
) -> None:
    model = network(node("Relu", "x", "a"), node("Sigmoid", "a", "y"))
    found = search(model, tmp_path)
    assert not found.is_kept
    assert "Its operators are Relu, Sigmoid" in found.reason


def test_recurrent_layers_stay_float_beside_integer_ones(tmp_path: Path) -> None:
    weights = {
        "head": drawn(4, 8),
        "w": drawn(1, 16, 24),
        "r": drawn(1, 16, 4),
        "shape": np.array([0, 8, 24], dtype=np.int64),
    }
    model = network(
        node("Reshape", "x shape", "s"),
        node("LSTM", "s w r", "_ h", hidden_size=4),
        node("MatMul", "h head", "y"),
        weights=weights,
    )
    found = search(model, tmp_path)
    assert found.is_kept, found.reason
    operators = {each.op_type for each in onnx.load(tmp_path / "int8.onnx").graph.node}
    assert "LSTM" in operators


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            network(node("Conv", "x w"), weights={"w": drawn(4, 3, 3, 3)}), id="one layer"
        ),
        pytest.param(
            network(node("Flatten", "x", "f"), node("Gemm", "f w"), weights={"w": drawn(192, 4)}),
            id="no convolution",
        ),
        pytest.param(
            network(node("Conv", "x w"), weights={"w": np.zeros((4, 3, 3, 3), np.float32)}),
            id="constant output",
        ),
        pytest.param(classifier(opset=11), id="opset 11"),
        pytest.param(
            network(
                node("Conv", "x w", "a"),
                node("Conv", "a v", "y"),
                node("Conv", "a u", "z"),
                weights={"w": drawn(4, 3, 3, 3), "v": drawn(2, 4, 1, 1), "u": drawn(6, 4, 3, 3)},
                outputs="y z",
            ),
            id="two outputs",
        ),
        pytest.param(
            network(node("Conv", "x w"), x=(4, 3, 8, 8), weights={"w": drawn(4, 3, 3, 3)}),
            id="fixed batch",
        ),
    ],
)
def test_odd_networks_get_a_file_that_answers_alike(model: ModelProto, tmp_path: Path) -> None:
    found = search(model, tmp_path)
    assert found.is_kept, found.reason
    for ours, fp32 in zip(
        _run(tmp_path / "int8.onnx", BATCHES[0]),
        _run(tmp_path / "model.onnx", BATCHES[0]),
        strict=True,
    ):
        assert torch.allclose(ours, fp32, atol=0.05 * max(1.0, float(fp32.abs().max())))


def test_a_single_sample_is_enough_and_noted(tmp_path: Path) -> None:
    found = search(classifier(), tmp_path, batches=[(torch.rand(1, 3, 8, 8),)])
    assert found.is_kept
    assert "come from 1 sample:" in found.notes[0]


@pytest.mark.parametrize(
    ("batches", "words"),
    [
        ([], "needs samples"),
        ([(torch.full((2, 3, 8, 8), float("nan")),)], "NaN or infinite values in input 'x'"),
    ],
)
def test_samples_that_measure_no_range_are_refused(
    batches: list[tuple[Tensor, ...]], words: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=words):
        search(classifier(), tmp_path, batches=batches)


@pytest.mark.parametrize(
    ("after", "weight"),
    [
        pytest.param("Log", -1.0, id="at the end"),
        pytest.param("Relu", float("nan"), id="from a weight"),
    ],
)
def test_values_that_become_nan_inside_the_network_are_named(
    after: str, weight: float, tmp_path: Path
) -> None:
    weights = {"w": np.full((4, 3, 3, 3), weight, np.float32)}
    model = network(node("Conv", "x w", "a"), node(after, "a", "y"), weights=weights)
    with pytest.raises(ExportError, match=r"value '[ay]' becomes NaN or infinite for the 4 calib"):
        search(model, tmp_path)


def test_a_network_of_depthwise_convolutions_is_refused_with_its_speed(tmp_path: Path) -> None:
    weights = {"w": drawn(3, 1, 3, 3), "v": drawn(3, 1, 3, 3)}
    model = network(
        node("Conv", "x w", "a", group=3), node("Conv", "a v", "y", group=3), weights=weights
    )
    found = search(model, tmp_path, QuantizeOptions(least_speedup=1000.0, seconds=0.01))
    assert not found.is_kept
    assert "Of 2 layers, ONNX Runtime computes 2 in integers" in found.reason


def test_samples_of_several_sizes_calibrate_a_network_of_open_sizes(tmp_path: Path) -> None:
    weights = {"w": drawn(4, 3, 3, 3), "v": drawn(4, 4, 3, 3)}
    model = network(
        node("Conv", "x w", "a"), node("Conv", "a v"), x=("N", 3, "H", "W"), weights=weights
    )
    found = search(model, tmp_path, batches=[*BATCHES, (torch.rand(2, 3, 12, 16),)])
    assert found.is_kept, found.reason
    assert found.num_samples == 6
    [larger] = _run(tmp_path / "int8.onnx", (torch.rand(1, 3, 10, 20),))
    assert larger.shape == (1, 4, 6, 16)


def test_a_network_with_two_inputs_and_a_class_as_its_output(tmp_path: Path) -> None:
    weights = {"w": drawn(4, 3, 3, 3), "v": drawn(4, 3, 3, 3)}
    model = network(
        node("Conv", "x w", "a"),
        node("Conv", "z v", "b"),
        node("Add", "a b", "c"),
        node("ArgMax", "c", "y", axis=1, keepdims=0),
        weights=weights,
    )
    model.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ("N", 3, 8, 8)))
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    pair = (BATCHES[0][0], BATCHES[0][0].flip(0))
    found = search(model, tmp_path, batches=[pair])
    assert found.is_kept, found.reason
    feeds = {"x": pair[0].numpy(), "z": pair[1].numpy()}
    ours, fp32 = (
        ort.InferenceSession(tmp_path / name).run(None, feeds)[0]
        for name in ("int8.onnx", "model.onnx")
    )
    assert (ours == fp32).mean() > 0.9
    with pytest.raises(ExportError, match="2 inputs, a sample has 1"):
        search(model, tmp_path)


def test_an_operator_that_onnx_runtime_lacks_is_refused_by_name(tmp_path: Path) -> None:
    weights = {"w": drawn(4, 3, 3, 3)}
    model = network(node("Conv", "x w", "a"), weights=weights)
    model.graph.node.append(helper.make_node("Twist", ["a"], ["y"], domain="com.example"))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, None))
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(ExportError, match="Twist"):
        search(model, tmp_path)


def test_float16_weights_are_no_layers(tmp_path: Path) -> None:
    weights = {"w": drawn(4, 3, 3, 3).astype(np.float16)}
    model = network(node("Conv", "x w"), weights=weights, dtype=TensorProto.FLOAT16)
    found = search(model, tmp_path)
    assert "stored float32 weights" in found.reason


@pytest.mark.parametrize(
    ("target", "activation", "most"),
    [
        ("vnni", TensorProto.UINT8, 127),
        ("avx2", TensorProto.UINT8, 64),
        ("arm", TensorProto.INT8, 127),
        ("tensorrt", TensorProto.INT8, 127),
    ],
)
def test_types_are_those_of_the_target(
    target: str, activation: int, most: int, tmp_path: Path
) -> None:
    source = saved(classifier(), tmp_path)
    write_int8(source, tmp_path / "int8.onnx", BATCHES, target=target)  # type: ignore[arg-type]
    graph = onnx.load(tmp_path / "int8.onnx").graph
    stored = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    points = {
        stored[each.input[2]].dtype for each in graph.node if each.op_type == "QuantizeLinear"
    }
    assert points == {onnx.helper.tensor_dtype_to_np_dtype(activation)}
    zeros = [stored[n.input[2]] for n in graph.node if n.op_type == "QuantizeLinear"]
    if activation == TensorProto.INT8:  # symmetric ranges have their zero in the middle
        assert all((zero == 0).all() for zero in zeros) is (target == "tensorrt")
    weights = [each for name, each in stored.items() if name in {"w0_quantized", "w1_quantized"}]
    assert max(int(np.abs(each.astype(int)).max()) for each in weights) <= most
    assert weights[0].shape[0] == stored["w0_scale"].size  # a scale per channel


def _run(path: Path, batch: Sequence[Tensor]) -> list[Tensor]:
    session = ort.InferenceSession(path)
    return [torch.from_numpy(y) for y in session.run(None, {"x": batch[0].numpy()})]
