"""`load_pruned` returns a network equal to `pruned.pt2`, or raises."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from secateur.engine.export.weights import write_weights
from secateur.engine.graph import analyse
from secateur.engine.plan import make_plan
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.module import ProgramModule
from secateur.engine.surgery import compact
from secateur.errors import SecateurError
from secateur.torch import load_pruned
from tests.fixtures.networks import randomise

X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """Two convolutions with something between them, and a classifier."""

    def __init__(self, between: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.stem, self.between = nn.Conv2d(3, 8, 3, padding=1), between()
        self.last, self.fc = nn.LazyConv2d(8, 1), nn.Linear(8, 4)
        self.last(self.between(torch.zeros(1, 8, 8, 8)))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.between(torch.relu(self.stem(x))))
        found: Tensor = self.fc(torch.relu(self.last(y)).mean((2, 3)))
        return found


class ChannelsLast(nn.Module):
    """A layer that takes its channels last."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return found


class Attention(nn.Module):
    """Self-attention over pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        found: Tensor = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        whole: Tensor = (tokens + found).transpose(1, 2).unflatten(2, x.shape[2:])
        return whole


class Position(nn.Module):
    """An embedding of positions, and a parameter outside of any layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.scale = nn.Embedding(64, 8), nn.Parameter(torch.rand(8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        found = self.embedding(torch.arange(64)).t().reshape(1, -1, 8, 8)
        whole: Tensor = x * self.scale + found
        return whole


class Tied(nn.Module):
    """Two convolutions that share one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        self.two.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.two(torch.relu(self.one(x)))
        return found


class Literal(nn.Module):
    """A module with a channel count in its code."""

    def __init__(self, code: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.code = code

    def forward(self, x: Tensor) -> Tensor:
        return self.code(x)


def pruned(between: Callable[[], nn.Module], path: Path) -> tuple[Tensor, Net]:
    """Write the weights of a half-width network; return its output and a new instance."""
    torch.manual_seed(0)
    program = from_exported(export(randomise(Net(between)), (X,)))
    analysis = analyse(program)
    keeps = {f.name: torch.arange(f.num_groups) % 2 == 0 for f in analysis.families}
    smaller = compact(program, analysis, make_plan(program, analysis, keeps))
    write_weights(smaller, path)
    with torch.no_grad():
        answer: Tensor = ProgramModule(smaller).eval()(X)
    return answer, Net(between).eval()


@pytest.mark.parametrize(
    "between",
    [
        lambda: nn.Conv2d(8, 16, 3, padding=1, groups=8),
        lambda: nn.Conv2d(8, 8, 3, padding=1, groups=2),
        lambda: nn.ConvTranspose2d(8, 8, 2, 2, groups=8),
        lambda: nn.ConvTranspose2d(8, 6, 2, 2),
        lambda: ChannelsLast(nn.RMSNorm(8)),
        lambda: ChannelsLast(nn.Linear(8, 12)),
        lambda: nn.GroupNorm(2, 8),
        lambda: nn.Sequential(nn.Conv2d(8, 16, 1), nn.GroupNorm(8, 16)),
        lambda: nn.GroupNorm(8, 8),
        lambda: nn.PReLU(8),
        Position,
        Tied,
        Attention,
    ],
    ids=[
        *("depthwise-times-two", "grouped", "transposed-depthwise", "transposed", "rms-norm"),
        *("linear", "group-norm", "whole-groups", "instance-norm", "prelu", "embedding"),
        *("tied", "attention-with-fewer-heads"),
    ],
)
def test_load_pruned_gives_a_class_the_pruned_network(
    between: Callable[[], nn.Module], tmp_path: Path
) -> None:
    wanted, fresh = pruned(between, tmp_path / "weights.safetensors")
    dense = sum(p.numel() for p in fresh.parameters())
    fresh.train()
    found = load_pruned(tmp_path, fresh)
    assert found is fresh
    assert found.training
    assert sum(p.numel() for p in found.parameters()) < dense
    with torch.no_grad():
        torch.testing.assert_close(found.eval()(X), wanted, atol=1e-5, rtol=1e-5)
    if isinstance(found.between, Tied):
        assert found.between.one.weight is found.between.two.weight


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            lambda x: x.view(x.shape[0], 8, -1).view(x.shape[0], 8, 8, 8),
            "cannot run with the pruned",
        ),
        (lambda x: torch.cat([x[:, :2], x[:, 2:] * 2], 1), "does not compute what the pruned"),
    ],
    ids=["view", "slice"],
)
def test_sizes_in_the_code_are_an_error_and_the_module_stays(
    code: Callable[[Tensor], Tensor], words: str, tmp_path: Path
) -> None:
    _, fresh = pruned(lambda: Literal(code), tmp_path / "weights.safetensors")
    with torch.no_grad():
        before = fresh(X)
    with pytest.raises(SecateurError, match=words) as caught:
        load_pruned(tmp_path, fresh)
    assert "load_program" in str(caught.value)
    with torch.no_grad():
        assert torch.equal(fresh(X), before)


def test_weights_of_another_class_are_refused(tmp_path: Path) -> None:
    pruned(nn.Identity, tmp_path / "weights.safetensors")
    with pytest.raises(SecateurError, match=r"Linear has no 'fc.bias'|another class's weights"):
        load_pruned(tmp_path, nn.Linear(3, 3))


def test_weights_without_a_probe_get_a_warning(tmp_path: Path) -> None:
    wanted, fresh = pruned(nn.Identity, tmp_path / "weights.safetensors")
    save_file(load_file(tmp_path / "weights.safetensors"), tmp_path / "old.safetensors")
    with pytest.warns(UserWarning, match="compare the module with load_program"):
        found = load_pruned(tmp_path / "old.safetensors", fresh)
    with torch.no_grad():
        torch.testing.assert_close(found(X), wanted)
