"""Accepted operators, reasons for refusals, and rewriting of equivalent operators."""

import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from secateur.engine.errors import ModelTooLargeError, UnsupportedOpError
from secateur.engine.graph import analyse
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.footprint import check_cost
from secateur.engine.program.functional import op_name
from secateur.engine.program.limits import ModelLimits
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import InputSpec, Program
from secateur.engine.program.reader import read_program
from secateur.engine.program.shapes import propagate
from secateur.engine.program.vocabulary import find_operator, why_refused
from tests.fixtures.networks import SmallNet, randomise


@pytest.mark.parametrize(
    "name",
    "lstm.input gru.input cosine_similarity.default cdist.default topk.default sort.default "
    "max_unpool2d.default fft_rfft2.default scatter.src index_put.default slice_scatter.default "
    "adaptive_max_pool3d.default atan2.default native_layer_norm.default copy_.default "
    "zero_.default __iand__.Tensor pow_.Scalar rrelu.default".split(),
)
def test_functions_of_tensors_are_accepted(name: str) -> None:
    assert find_operator(f"torch.ops.aten.{name}") is not None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("rand_like.default", "random numbers"),
        ("nonzero.default", "depends on the data"),
        ("_local_scalar_dense.default", "internal"),
        ("as_strided.default", "by address"),
        ("set_.source_Tensor", "by address"),
        ("view.dtype", "as another type"),
        ("lstm.data", "not checked"),
        ("cross_entropy_loss.default", "a loss"),
        ("max_pool2d_with_indices_backward.default", "training"),
        ("special_hermite_polynomial_h.n_scalar", "a number in the file"),
        ("linalg_lu_solve.default", "not checked"),
        ("relu.out", "no functional form"),
        ("_coalesced.default", "internal"),
        ("from_file.default", "opens files"),
    ],
)
def test_a_refusal_gives_the_reason(name: str, reason: str) -> None:
    assert find_operator(f"torch.ops.aten.{name}") is None
    assert reason in why_refused(f"torch.ops.aten.{name}")


def test_an_operator_of_a_foreign_library_is_refused_with_the_reason() -> None:
    assert "is not installed on the worker" in why_refused("torch.ops.mmcv.roi_pool.default")


def families(program: Program) -> list[tuple[str, int]]:
    return [(family.name, family.num_groups) for family in analyse(program).families]


def test_a_decomposed_program_has_the_same_groups(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = randomise(nn.Sequential(SmallNet(), nn.LayerNorm(4)))
    x = torch.randn(2, 1, 8, 8)
    exported = export(model, (x,))
    path = tmp_path / "decomposed.pt2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        torch.export.save(exported.run_decompositions(), path)
    program = read_program(path)
    names = {op_name(n.target) for n in program.graph.nodes if n.op == "call_function"}
    assert {"batch_norm", "layer_norm", "conv2d"} <= names
    assert families(program) == families(from_exported(exported))
    torch.testing.assert_close(ProgramModule(program).eval()(x), model(x))


class Contexts(nn.Module):
    """Model with nested context managers."""

    def __init__(self) -> None:
        super().__init__()
        self.net = SmallNet()

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = x * 2
            with torch.autocast("cpu", enabled=False), torch.enable_grad():
                y: Tensor = self.net(x)
        return y


def test_subgraphs_of_context_managers_are_inlined(tmp_path: Path) -> None:
    model, x = randomise(Contexts()), torch.randn(2, 1, 8, 8)
    exported = export(model, (x,))
    path = tmp_path / "contexts.pt2"
    torch.export.save(exported, path)
    for program in (read_program(path), from_exported(exported)):
        torch.testing.assert_close(ProgramModule(program).eval()(x), model(x))
        assert len(families(program)) == 2


class Branches(nn.Module):
    """Model that runs one of two branches."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 4, 3), nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cond(x.mean() > 0, self.a, lambda v: self.b(v) * 2, (x,))
        z: Tensor = self.head(y.mean((2, 3)))
        return z


def test_both_branches_of_a_condition_are_inlined(tmp_path: Path) -> None:
    model, x = randomise(Branches()), torch.randn(2, 1, 8, 8)
    exported = export(model, (x,))
    path = tmp_path / "branches.pt2"
    torch.export.save(exported, path)
    for program in (read_program(path), from_exported(exported)):
        for given in (x.abs(), -x.abs()):
            torch.testing.assert_close(ProgramModule(program).eval()(given), model(given))
        assert families(program) == [("a.weight", 4)]


class Partial(nn.Module):
    """Partial convolution, written back in place, and a layer with weight normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.part = nn.Conv2d(1, 8, 3), nn.Conv2d(4, 4, 3, padding=1)
        self.mix = nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 6, 1))
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x).clone()
        y[:, :4] = self.part(y[:, :4])
        logits: Tensor = self.head(self.mix(y).mean((2, 3)))
        return logits


def test_channels_written_through_a_view_are_prunable() -> None:
    program = from_exported(export(randomise(Partial()), (torch.randn(2, 1, 8, 8),)))
    assert sorted(size for _, size in families(program)) == [4, 4, 6]


def limited(model: nn.Module, *shape: int) -> None:
    program = from_exported(export(model, (torch.zeros(2, *shape),)))
    check_cost(program, propagate(program), ModelLimits(macs=10**6))


class Called(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.linalg.inv(x) if self.name == "inverse" else torch.cdist(x, x)
        return y


@pytest.mark.parametrize("name", ["inverse", "cdist"])
def test_work_of_operators_without_a_count_is_bounded(name: str) -> None:
    limited(Called(name), 8, 8)
    with pytest.raises(ModelTooLargeError, match="multiply-accumulates"):
        limited(Called(name), 128, 128)


def test_the_length_of_a_sequence_is_limited() -> None:
    class Endless(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(1, 1, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.rnn(x)[0]
            return y

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # recurrent layers warn about their own weights
        program = from_exported(export(Endless(), (torch.zeros(2, 4, 1),)))
    endless = InputSpec("x", (None, 20_000, 1), torch.float32)
    with pytest.raises(ModelTooLargeError, match="20000 steps, at most 10000"):
        propagate(replace(program, inputs=(endless,)))


def test_random_numbers_are_refused_by_name_and_line(tmp_path: Path) -> None:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * torch.bernoulli(torch.full_like(x, 0.5))

    path = tmp_path / "noisy.pt2"
    torch.export.save(export(Noisy(), (torch.randn(2, 4),)), path)
    with pytest.raises(UnsupportedOpError, match=r"bernoulli.*test_vocabulary\.py:\d+.*random"):
        read_program(path)
