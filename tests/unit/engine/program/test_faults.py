"""Mistakes in a user's model are refused when it is read, with the line and the fix."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from secateur.engine.errors import ModelRejectedError
from secateur.engine.program.reader import read_program


class Net(nn.Module):
    """Convolution with BatchNorm, and a causal attention mask."""

    mask: Tensor

    def __init__(self, function: Callable[["Net", Tensor], Any]) -> None:
        super().__init__()
        self.conv, self.bn, self.fc = nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, 2)
        self.register_buffer("mask", torch.full((4, 4), float("-inf")).triu(1))
        self.function = function

    def features(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn(self.conv(x))
        return y

    def forward(self, x: Tensor, scale: float | None = None) -> Any:
        return self.function(self, x if scale is None else x * scale)


def _pooled(net: Net, y: Tensor) -> Tensor:
    logits: Tensor = net.fc(y.mean((2, 3)))
    return logits


def _attention(net: Net, x: Tensor, **more: Any) -> Tensor:  # torch's own
    tokens = net.features(x).flatten(2)
    found = F.scaled_dot_product_attention(tokens, tokens, tokens, net.mask[:, :4], **more)
    return _pooled(net, found[..., None])


def saved(path: Path, net: Net, *, is_training: bool = False, more: tuple[Any, ...] = ()) -> Path:
    x = torch.randn(2, 1, 2, 2)
    shapes = ({0: torch.export.Dim("batch", min=1)}, *[None for _ in more])
    exported = torch.export.export(net.train(is_training), (x, *more), dynamic_shapes=shapes)
    torch.export.save(exported, path / "model.pt2")
    return path / "model.pt2"


FAULTS: dict[str, tuple[Callable[[Net, Tensor], Any], str]] = {
    "dropout": (lambda n, x: _pooled(n, F.dropout(n.features(x))), r"dropout.*self\.training"),
    "dropout of channels": (
        lambda n, x: _pooled(n, F.dropout2d(n.features(x), 0.3)),
        r"feature_dropout.*test_faults\.py.*net\.eval\(\)",
    ),
    "alpha dropout": (
        lambda n, x: _pooled(n, F.alpha_dropout(n.features(x), 0.3, training=True)),
        r"alpha_dropout.*random",
    ),
    "the statistics of each batch": (
        lambda n, x: _pooled(
            n, F.batch_norm(n.conv(x), n.bn.running_mean, n.bn.running_var, training=True)
        ),
        r"batch_norm.*is in training mode.*net\.eval\(\)",
    ),
    "a random slope": (
        lambda n, x: _pooled(n, F.rrelu(n.features(x), training=True)),
        r"rrelu.*random",
    ),
    "dropout in attention": (lambda n, x: _attention(n, x, dropout_p=0.1), r"dropout_p=p if"),
    "noise": (
        lambda n, x: _pooled(n, n.features(x + torch.rand_like(x))),
        r"rand_like.*test_faults\.py.*random numbers",
    ),
    "a number": (lambda n, x: (_pooled(n, n.features(x)), 7), "output 1 is 7, not a tensor"),
    "a size": (
        lambda n, x: (_pooled(n, n.features(x)), x.shape[0]),
        "output 1 is a size, not a tensor",
    ),
}


@pytest.mark.parametrize(("function", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_named_with_its_fix(
    function: Callable[[Net, Tensor], Any], message: str, tmp_path: Path
) -> None:
    path = saved(tmp_path, Net(function))
    with pytest.raises(ModelRejectedError, match=message):
        read_program(path)


def test_the_error_for_training_mode_says_to_call_eval(tmp_path: Path) -> None:
    path = saved(tmp_path, Net(lambda n, x: _pooled(n, n.features(x))), is_training=True)
    with pytest.raises(ModelRejectedError, match="training mode") as caught:
        read_program(path)
    assert "Call model.eval()" in caught.value.hint


def test_an_argument_that_the_export_fixed_is_named(tmp_path: Path) -> None:
    net = Net(lambda n, x: _pooled(n, n.features(x)))
    with pytest.raises(ModelRejectedError, match=r"'scale' was fixed to None.*leave it out"):
        read_program(saved(tmp_path, net, more=(None,)))


def test_a_mask_may_hold_infinity(tmp_path: Path) -> None:
    program = read_program(saved(tmp_path, Net(_attention)))
    assert bool(program.tensors["mask"].isinf().any())


@pytest.mark.parametrize("name", ["conv.weight", "fc.bias", "bn.running_var"])
def test_weights_and_statistics_must_be_finite(name: str, tmp_path: Path) -> None:
    net = Net(_attention)
    net.state_dict()[name].view(-1)[0] = float("inf")
    with pytest.raises(ModelRejectedError, match=f"'{name}' has values that are NaN or infinite"):
        read_program(saved(tmp_path, net))
