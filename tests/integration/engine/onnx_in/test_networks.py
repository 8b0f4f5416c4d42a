"""Whole networks: the same plans as from ``torch.export``, names, batches, and what trains."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import timm
import torch
import torchvision
from onnx import helper
from onnx.helper import tensor_dtype_to_np_dtype
from torch import nn

import secateur
from secateur.engine import CRITERIA, CostModel, Program, ProgramModule, SaliencyOptions
from secateur.engine.errors import EngineError
from secateur.engine.export.formats import write_files
from secateur.engine.export.session import OnnxSession
from secateur.engine.graph import Analysis, analyse
from secateur.engine.onnx_in.operators.table import OPERATORS
from secateur.engine.onnx_in.reader import read_onnx
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.program import Role
from secateur.engine.program.reader import read_program
from secateur.engine.pruning import prune_program
from secateur.engine.selection import Ratio, SelectionOptions, select
from tests.fixtures.networks import randomise
from tests.fixtures.onnx_graphs import drawn, network, node, saved


class Columns(nn.Module):
    """An LSTM over the columns of an image; exporters expand one zero to its first state."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1)
        self.rnn = nn.LSTM(16, 12, batch_first=True, bidirectional=True)
        self.head = nn.Linear(24, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        columns = torch.relu(self.conv(x)).mean(2).transpose(1, 2)
        y: torch.Tensor = self.head(self.rnn(columns)[0])
        return y


def spectral() -> nn.Module:
    """Return a discriminator whose weights are divided by products with vectors."""
    norm = nn.utils.parametrizations.spectral_norm
    layers = (norm(nn.Conv2d(3, 16, 3, 2)), nn.ReLU(), norm(nn.Conv2d(16, 24, 3, 2)), nn.ReLU())
    return nn.Sequential(*layers, nn.Conv2d(24, 2, 1)).eval()


HALF = SelectionOptions(Ratio(0.5), min_channels=1, round_to=1)
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet": lambda: timm.create_model("test_resnet", num_classes=5),
    "efficientnet": lambda: timm.create_model("test_efficientnet", num_classes=5),
    "convnext": lambda: timm.create_model("test_convnext", num_classes=5),
    "squeezenet": lambda: torchvision.models.squeezenet1_1(num_classes=5),
    "recurrent": Columns,
    "spectral norm": spectral,
}


def plan_of(program: Program, analysis: Analysis) -> list[tuple[int, ...]]:
    saliency = CRITERIA["l1"](program, analysis, None, SaliencyOptions())
    keeps = select(analysis, saliency, HALF, CostModel(program, analysis)).keeps
    return sorted((len(mask), *mask.nonzero().flatten().tolist()) for mask in keeps.values())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_pruned_to_the_same_plan_as_from_torch(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporters' own deprecations
        exported = export(randomise(NETWORKS[name]()), (torch.randn(2, 3, 48, 48),))
        path = tmp_path / "model.onnx"
        torch.onnx.export(exported, (), path, optimize=False, external_data=False, verbose=False)
    program, ours = from_exported(exported), read_onnx(path)
    assert plan_of(ours, analyse(ours)) == plan_of(program, analyse(program))
    trained = {n for n, role in ours.roles.items() if role is Role.PARAMETER}
    assert set(program.parameters()) <= trained


class Normed(nn.Module):
    """Two convolutions, each with a norm over its channels."""

    def __init__(self, make: Callable[[int], nn.Module], *, is_last: bool = False) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 24, 3)
        self.norms = nn.ModuleList([make(16), make(24)])
        self.head = nn.Linear(24, 5)
        self.is_last = is_last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for conv, norm in zip((self.first, self.second), self.norms, strict=True):
            x = conv(x)
            x = norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) if self.is_last else norm(x)
            x = torch.relu(x)
        y: torch.Tensor = self.head(x.mean((2, 3)))
        return y


class Coordinates(nn.Module):
    """Convolutions that see where they are, in two channels that are expanded to the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.Sequential(nn.Conv2d(5, 16, 3), nn.ReLU(), nn.Conv2d(16, 4, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, _, h, w = x.shape
        rows = torch.linspace(-1, 1, h).view(1, 1, h, 1).expand(n, 1, h, w)
        columns = torch.arange(w).float().view(1, 1, 1, w).expand(n, 1, h, w)
        y: torch.Tensor = self.convs(torch.cat([x, rows, columns], 1))
        return y


# A network, the opset of its file, and whether the older exporter writes it.
WRITTEN_OUT: dict[str, tuple[Callable[[], nn.Module], int, bool]] = {
    "group norm": (lambda: Normed(lambda width: nn.GroupNorm(4, width, eps=1e-3)), 18, False),
    "older group norm": (lambda: Normed(lambda width: nn.GroupNorm(4, width)), 17, True),
    "group norm alone": (lambda: Normed(lambda n: nn.GroupNorm(2, n, affine=False)), 17, True),
    "one group": (lambda: Normed(lambda width: nn.GroupNorm(1, width)), 17, True),
    "layer norm": (lambda: Normed(nn.LayerNorm, is_last=True), 16, True),
    "coordinates": (Coordinates, 17, True),
}


@pytest.mark.parametrize("name", WRITTEN_OUT)
def test_what_exporters_write_out_is_pruned_as_exactly_as_from_torch(
    name: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    make, opset, is_older = WRITTEN_OUT[name]
    model, x, path = randomise(make()), torch.randn(2, 3, 12, 12), tmp_path / "model.onnx"
    exported = export(model, (x,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporters' own deprecations
        given: Any = (model, (x,)) if is_older else (exported, ())
        torch.onnx.export(
            *given, path, opset_version=opset, dynamo=not is_older, verbose=False,
            optimize=False, external_data=False, input_names=["x"],
            dynamic_axes={"x": {0: "batch"}} if is_older else None,
        )  # fmt: skip
    program, ours = from_exported(exported), read_onnx(path)
    assert plan_of(ours, analyse(ours)) == plan_of(program, analyse(program))
    pruned = prune_program(ours, HALF, is_repaired=False, has_exact_norms=True)
    assert pruned.certificate.is_exact
    trained = [sum(t.numel() for t in each.parameters().values()) for each in (ours, program)]
    norms = [n.target for n in ours.graph.nodes if str(n.target).endswith("_norm.default")]
    if name not in {"group norm alone", "coordinates"}:
        assert trained[0] == trained[1]
    assert len(norms) == (0 if name == "coordinates" else 2)


def test_bfloat16_weights_are_read_and_kept_in_their_type(tmp_path: Path) -> None:
    half = drawn(8, 3, 3, 3).astype(tensor_dtype_to_np_dtype(onnx.TensorProto.BFLOAT16))
    nodes = [
        node("Cast", "w", "f", to=onnx.TensorProto.FLOAT), node("Conv", "x f", "c"),
        node("Relu", "c", "r"), node("Conv", "r v"),
    ]  # fmt: skip
    weights = {"w": half, "v": drawn(4, 8, 3, 3)}
    program = read_onnx(saved(network(*nodes, weights=weights), tmp_path))
    assert torch.equal(program.tensors["w"], torch.from_numpy(half.astype(np.float32)))
    assert program.roles["w"] is Role.PARAMETER
    assert program.own_types["w"] is torch.bfloat16


def paddle() -> onnx.ModelProto:
    """Weights in Constant nodes, sizes of -1, hard-swish by parts, a learned scale, an SE gate."""
    arrays = {
        "w": drawn(12, 3, 3, 3), "s": drawn(12), "b": drawn(12), "m": drawn(12),
        "v": drawn(12, low=0.5), "scale": drawn(1, 12, 1, 1), "three": np.array([3], np.float32),
        "zero": np.float32(0), "six": np.float32(6), "down": drawn(4, 12, 1, 1),
        "up": drawn(12, 4, 1, 1), "out": drawn(5, 12, 1, 1), "shape": np.array([-1, 5]),
    }  # fmt: skip
    constants = [
        helper.make_node("Constant", [], [k], value=onnx.numpy_helper.from_array(np.asarray(v)))
        for k, v in arrays.items()
    ]
    nodes = [
        node("Conv", "x w", "c", pads=[1, 1, 1, 1]), node("BatchNormalization", "c s b m v", "n"),
        node("Add", "n three", "a"), node("Clip", "a zero six", "k"), node("Mul", "n k", "h"),
        node("Div", "h six", "d"), node("Mul", "d scale", "e"), node("GlobalAveragePool", "e", "p"),
        node("Conv", "p down", "q"), node("Relu", "q", "r"), node("Conv", "r up", "g"),
        node("HardSigmoid", "g", "i"), node("Mul", "e i", "j"),
        node("GlobalAveragePool", "j", "l"), node("Conv", "l out", "o"), node("Reshape", "o shape"),
    ]  # fmt: skip
    return network(*constants, *nodes, x=(-1, 3, 8, 8), opset=11)


def nhwc() -> onnx.ModelProto:
    """Images with the channels last, as TensorFlow has them."""
    nodes = [
        node("Transpose", "x", "a", perm=[0, 3, 1, 2]), node("Conv", "a w", "b"),
        node("Transpose", "b", "c", perm=[0, 2, 3, 1]), node("Relu", "c", "d"),
        node("Transpose", "d", "e", perm=[0, 3, 1, 2]), node("Conv", "e v", "f"),
        node("Transpose", "f", "g", perm=[0, 2, 3, 1]), node("ReduceMean", "g axes", keepdims=0),
    ]  # fmt: skip
    weights = {"w": drawn(12, 3, 3, 3), "v": drawn(5, 12, 3, 3), "axes": np.array([1, 2])}
    return network(*nodes, x=("n", 8, 8, 3), weights=weights)


def one_sample(size: int = 1) -> onnx.ModelProto:
    """A fixed batch in the shapes of Reshape, Expand and a token joined with the samples."""
    nodes = [
        node("Conv", "x w", "a"), node("Relu", "a", "b"), node("Reshape", "b flat", "c"),
        node("Transpose", "c", "d", perm=[0, 2, 1]), node("Expand", "token one", "t"),
        node("Concat", "t d", "e", axis=1), node("MatMul", "e v", "f"),
        node("ReduceMean", "f axes", "g", keepdims=0), node("Reshape", "g rows"),
    ]  # fmt: skip
    weights = {
        "w": drawn(12, 3, 3, 3), "v": drawn(12, 5), "token": drawn(1, 1, 12),
        "flat": np.array([size, 12, 36]), "one": np.array([size, 1, 12]),
        "axes": np.array([1]), "rows": np.array([size, 5]),
    }  # fmt: skip
    return network(*nodes, x=(size, 3, 8, 8), weights=weights)


def windows(size: int = 1) -> onnx.ModelProto:
    """A fixed batch that is merged with windows and comes back, as Swin does."""
    nodes = [
        node("Conv", "x w", "a"), node("Reshape", "a cut", "b"),
        node("Transpose", "b", "c", perm=[0, 2, 4, 3, 5, 1]), node("Reshape", "c merged", "d"),
        node("MatMul", "d v", "e"), node("Reshape", "e back", "f"),
        node("ReduceMean", "f axes", keepdims=0),
    ]  # fmt: skip
    weights = {
        "w": drawn(12, 3, 3, 3), "cut": np.array([size, 12, 2, 3, 2, 3]), "v": drawn(12, 6),
        "merged": np.array([-1, 9, 12]), "back": np.array([size, 4, 9, 6]),
        "axes": np.array([1, 2]),
    }  # fmt: skip
    return network(*nodes, x=(size, 3, 8, 8), weights=weights)


def recurrent(size: int = 1) -> onnx.ModelProto:
    """A fixed batch in the zero states of an LSTM, which a constant holds."""
    nodes = [
        node("Conv", "x w", "a"), node("ReduceMean", "a axes", "b", keepdims=0),
        node("Transpose", "b", "c", perm=[2, 0, 1]), node("LSTM", "c wx wh _ _ h h", "l h1 c1"),
        node("Squeeze", "l one", "s"), node("Transpose", "s", "t", perm=[1, 2, 0]),
        node("Reshape", "t flat", "f"), node("MatMul", "f v"),
    ]  # fmt: skip
    nodes[3].attribute.append(helper.make_attribute("hidden_size", 6))
    weights = {
        "w": drawn(12, 3, 3, 3), "axes": np.array([2]), "wx": drawn(1, 24, 12),
        "wh": drawn(1, 24, 6), "h": np.zeros([1, size, 6], np.float32), "one": np.array([1]),
        "flat": np.array([size, 36]), "v": drawn(36, 5),
    }  # fmt: skip
    return network(*nodes, x=(size, 3, 8, 8), weights=weights)


@pytest.mark.parametrize("make", [paddle, nhwc, one_sample, windows])
def test_styles_of_other_exporters_are_pruned(make: Any, tmp_path: Path) -> None:
    path = saved(make(), tmp_path)
    program = read_onnx(path)
    pruned = secateur.prune(path, ratio=0.5, round_to=1, min_channels=1)
    assert pruned.cost.macs < 0.8 * pruned.dense.macs
    assert program.parameters()["w"].shape[0] == 12
    assert program.origin is not None
    is_for_one = make in {one_sample, windows}
    assert any("made for one sample" in note for note in program.origin.notes) == is_for_one
    assert pruned.program.parameters()["w"].shape[0] == 6


@pytest.mark.parametrize("make", [one_sample, windows, recurrent])
def test_a_file_for_several_samples_takes_any_number(make: Any, tmp_path: Path) -> None:
    single, several = saved(make(1), tmp_path), saved(make(4), tmp_path, "several.onnx")
    program = read_onnx(several)
    assert program.origin is not None
    assert any("made for 4 samples" in note for note in program.origin.notes)
    x = torch.randn(3, 3, 8, 8)
    outputs = [ProgramModule(each).eval()(x) for each in (program, read_onnx(single))]
    torch.testing.assert_close(*outputs)
    pruned = secateur.prune(several, ratio=0.5, round_to=1, min_channels=1)
    assert pruned.program.parameters()["w"].shape[0] == 6


def strided() -> onnx.ModelProto:
    """``as_strided`` as PyTorch writes it: a Gather from all samples, at computed positions."""
    nodes = [
        node("Conv", "x w", "a"), node("Reshape", "a all", "b"), node("Shape", "x", "n", end=1),
        node("Squeeze", "n", "m"), node("Range", "zero m one", "c"), node("Mul", "c size", "d"),
        node("Unsqueeze", "d axes", "e"), node("Add", "e own", "f"), node("Gather", "b f", "g"),
        node("Conv", "g v"),
    ]  # fmt: skip
    own = np.arange(12 * 36).reshape(1, 12, 6, 6)
    weights = {
        "w": drawn(12, 3, 3, 3), "all": np.array([-1]), "zero": np.array(0), "one": np.array(1),
        "size": np.array(12 * 36), "axes": np.array([1, 2, 3]), "own": own,
        "v": drawn(4, 12, 3, 3),
    }  # fmt: skip
    return network(*nodes, weights=weights)


def test_values_read_by_their_number_stay_with_their_sample(tmp_path: Path) -> None:
    pruned = secateur.prune(saved(strided(), tmp_path), ratio=0.5, round_to=1, min_channels=1)
    assert pruned.program.parameters()["w"].shape[0] == 6
    mirrored = strided()
    own = next(each for each in mirrored.graph.initializer if each.name == "own")
    flipped = onnx.numpy_helper.to_array(own)[..., ::-1].copy()
    own.CopyFrom(onnx.numpy_helper.from_array(flipped, "own"))
    assert read_onnx(saved(mirrored, tmp_path)).roles  # frozen, and equal to ONNX Runtime's


@pytest.mark.parametrize("dtype", [onnx.TensorProto.UINT8, onnx.TensorProto.INT64])
def test_images_and_indices_of_whole_numbers_are_read(dtype: int, tmp_path: Path) -> None:
    model = network(
        node("Cast", "x", "f", to=1), node("Conv", "f w", "a"), node("Relu", "a", "b"),
        node("Conv", "b v"), weights={"w": drawn(8, 3, 3, 3), "v": drawn(4, 8, 3, 3)}, dtype=dtype,
    )  # fmt: skip
    model.graph.output[0].type.tensor_type.elem_type = 1
    pruned = secateur.prune(saved(model, tmp_path), ratio=0.5, round_to=1, min_channels=1)
    assert pruned.program.inputs[0].dtype is {2: torch.uint8, 7: torch.int64}[dtype]
    pruned.save(tmp_path / "small.onnx")
    again = onnx.load(tmp_path / "small.onnx").graph.input[0]
    assert again.type.tensor_type.elem_type == dtype


def test_roles_are_those_of_the_file(tmp_path: Path) -> None:
    roles = read_onnx(saved(paddle(), tmp_path)).roles
    assert {name for name, role in roles.items() if role is Role.BUFFER} == {"m", "v"}
    trained = {name for name, role in roles.items() if role is Role.PARAMETER}
    assert trained == {"w", "s", "b", "scale", "down", "up", "out"}


def test_equal_vectors_that_an_exporter_stored_once_do_not_tie_layers(tmp_path: Path) -> None:
    nodes = [node("Conv", "x w b", "a"), node("Conv", "a v b", "c"), node("Conv", "c u")]
    weights = {
        "w": drawn(8, 3, 3, 3),
        "v": drawn(8, 8, 3, 3),
        "b": drawn(8),
        "u": drawn(4, 8, 1, 1),
    }
    program = read_onnx(saved(network(*nodes, weights=weights), tmp_path))
    assert set(program.tensors) == {"w", "v", "b", "b_2", "u"}
    assert len(analyse(program).families) == 2


def test_recurrent_layers_are_frozen_and_what_feeds_them_is_pruned(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x k", "a"), node("Relu", "a", "i"), node("Conv", "i l", "c"),
        node("ReduceMean", "c axes", "d", keepdims=0), node("Transpose", "d", "e", perm=[2, 0, 1]),
        node("LSTM", "e w r b", "f", hidden_size=3, direction="bidirectional"),
        node("Transpose", "f", "g", perm=[2, 0, 1, 3]), node("Reshape", "g rows"),
    ]  # fmt: skip
    weights = {
        "k": drawn(16, 1, 3, 3), "l": drawn(8, 16, 3, 3), "axes": np.array([2]),
        "w": drawn(2, 12, 8), "r": drawn(2, 12, 3), "b": drawn(2, 24), "rows": np.array([0, 0, 6]),
    }  # fmt: skip
    path = saved(network(*nodes, x=("n", 1, 8, 10), weights=weights), tmp_path)
    pruned = secateur.prune(path, ratio=0.5, round_to=1, min_channels=1)
    assert pruned.program.parameters()["k"].shape[0] == 8
    assert pruned.program.parameters()["r"].shape == (2, 12, 3)


def test_the_written_onnx_file_keeps_names_properties_and_opset(tmp_path: Path) -> None:
    model = network(
        node("Conv", "x onnx::Conv_1", "a"), node("Relu", "a", "scores/1"),
        node("GlobalAveragePool", "a", "2"), outputs="scores/1 2", opset=20,
        weights={"onnx::Conv_1": drawn(8, 3, 3, 3)},
    )  # fmt: skip
    helper.set_model_props(model, {"characters": "äß\n"})
    program = read_onnx(saved(model, tmp_path))
    batches = [program.example_inputs(2)]
    assert write_files(program, tmp_path, ("onnx", "pt2"), batches)["onnx"] < 1e-5
    again = onnx.load(tmp_path / "model.onnx")
    assert [value.name for value in again.graph.input] == ["x"]
    assert [value.name for value in again.graph.output] == ["scores/1", "2"]
    assert [(each.key, each.value) for each in again.metadata_props] == [("characters", "äß\n")]
    assert again.opset_import[0].version == 20
    assert "onnx::Conv_1" in {tensor.name for tensor in again.graph.initializer}
    stored = read_program(tmp_path / "pruned.pt2")
    assert (stored.input_names, stored.output_names) == (("x",), ("scores/1", "2"))
    assert set(stored.parameters()) == {"onnx::Conv_1"}


def test_names_that_no_module_can_have_are_changed(tmp_path: Path) -> None:
    names = ["a", "a.b", "training", "class.w", "..", "p/q:0@1", "x y"]
    nodes = [node("Add", f"v{i} {i}", f"v{i + 1}") for i in range(len(names))]
    nodes = [node("Relu", "x", "v0"), *nodes]
    for number, name in enumerate(names):
        nodes[number + 1].input[1] = name
    weights = {name: drawn(3, 1, 1, seed=i) for i, name in enumerate(names)}
    model = network(*nodes, weights=weights, outputs=f"v{len(names)}")
    program = read_onnx(saved(model, tmp_path))
    write_files(program, tmp_path, ("pt2", "safetensors"), [])
    stored = read_program(tmp_path / "pruned.pt2")
    assert set(stored.tensors) == set(program.tensors)
    assert {"a", "a_b", "training_", "class_.w", "p_q:0_1", "x y"} <= set(program.tensors)


def test_an_example_fixes_sizes_that_the_file_leaves_open(tmp_path: Path) -> None:
    model = network(
        node("Conv", "x w", "a"), node("Relu", "a", "b"), node("Conv", "b v"),
        x=("n", 3, "h", "w"), weights={"w": drawn(8, 3, 3, 3), "v": drawn(4, 8, 3, 3)},
    )  # fmt: skip
    path = saved(model, tmp_path)
    pruned = secateur.prune(path, torch.randn(1, 3, 12, 16), ratio=0.5, round_to=1, min_channels=1)
    assert pruned.program.inputs[0].shape == (None, 3, 12, 16)
    x = torch.randn(2, 3, 12, 16)
    found = ProgramModule(read_onnx(path, shapes=((None, 3, 12, 16),)))(x)
    torch.testing.assert_close(found, OnnxSession(path)([x])[0], rtol=1e-5, atol=1e-5)
    with pytest.raises(EngineError, match=r"shape \[None, 4, 12, 16\]; the ONNX file takes \['any"):
        secateur.prune(path, torch.randn(1, 4, 12, 16))


def test_a_network_that_computes_something_else_is_refused_with_its_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OPERATORS, "Relu", lambda call: torch.relu(call.tensor(0)) * 1.001)
    model = network(node("Abs", "x", "a"), node("Relu", "a", "b"), node("Sigmoid", "b"))
    with pytest.raises(EngineError, match=r"'/Relu/b' \(Relu\) is the first"):
        read_onnx(saved(model, tmp_path))
