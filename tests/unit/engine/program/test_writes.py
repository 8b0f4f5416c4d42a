"""Programs with in-place writes, through views and nested views, equal the user's model."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from secateur.engine.errors import ModelRejectedError, UnsupportedOpError
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.functional import is_in_place
from secateur.engine.program.module import ProgramModule

Outputs = Tensor | tuple[Tensor, ...]


class Written(nn.Module):
    """Module that applies a function to a copy of the input."""

    def __init__(self, function: Callable[[Tensor], Outputs]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Outputs:
        return self.function(x.clone())


def parts_of_channels(x: Tensor) -> Outputs:
    x[:, 0] = x[:, 1] * 2
    x[:, :2, 1:] = 0
    x[:, ::2] = x[:, 1::2]
    x[x > 1] = 0
    x[:, [0, 2]] = 1
    return x


def view_of_a_view(x: Tensor) -> Outputs:
    a = x[:, 1]
    b = a[:, 2]
    b.mul_(3)
    a.add_(1)
    return x + a.unsqueeze(1), b


def views_read_later(x: Tensor) -> Outputs:
    flat, last = x.view(x.shape[0], -1), x.permute(0, 2, 3, 1)
    flat[:, 3].fill_(7)
    x.mul_(2)
    return flat, last


def pieces(x: Tensor) -> Outputs:
    a, b = x.chunk(2, 1)
    a.add_(1)
    b.mul_(2)
    first, *_, last = x.unbind(2)
    last.copy_(first)
    return x, a


def decoding_of_boxes(x: Tensor) -> Outputs:
    y = x.permute(0, 2, 3, 1)
    y[..., 0:2] = y[..., 0:2] * 2 - 0.5
    y[..., 2:4] = (y[..., 2:4] * 2) ** 2
    return y.flatten(1, 2)


def shift_along_time(x: Tensor) -> Outputs:
    y = torch.zeros_like(x)
    y[:, :-1, :2] = x[:, 1:, :2]
    y[:, 1:, 2:4] = x[:, :-1, 2:4]
    y[:, :, 4:] = x[:, :, 4:]
    return y


def uninitialised_memory(x: Tensor) -> Outputs:
    y = torch.empty(x.shape[0], 8, 6, 6)
    y[:, :4] = x
    y[:, 4:] = x * 2
    return y


def argument_or_copy(x: Tensor) -> Outputs:
    y = functional.dropout(x.contiguous(), 0.5, training=False)
    y.add_(1)
    x.reshape(x.shape[0], -1).mul_(2)
    return x, y


def another_shape_in_place(x: Tensor) -> Outputs:
    y = x[:, :1]
    y.squeeze_(1)
    functional.relu_(y)
    return x, y


def a_diagonal(x: Tensor) -> Outputs:
    torch.diagonal(x, 0, 2, 3).zero_()
    x.transpose(1, 2)[:, 0] += 1
    return x


def a_smaller_type(x: Tensor) -> Outputs:
    y = x.half().view(x.shape[0], -1)
    y[:, :3].add_(x.view(x.shape[0], -1)[:, :3])
    return y.float()


FUNCTIONS = [
    parts_of_channels,
    view_of_a_view,
    views_read_later,
    pieces,
    decoding_of_boxes,
    shift_along_time,
    uninitialised_memory,
    argument_or_copy,
    another_shape_in_place,
    a_diagonal,
    a_smaller_type,
]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_later_reads_see_earlier_writes(function: Callable[[Tensor], Outputs]) -> None:
    program = from_exported(export(Written(function), (torch.randn(2, 4, 6, 6),)))
    assert not any(is_in_place(node.target) for node in program.graph.nodes)
    for batch_size in (1, 3):
        x = torch.randn(batch_size, 4, 6, 6)
        expected = function(x.clone())
        found = ProgramModule(program).eval().run((x,))
        given = expected if isinstance(expected, tuple) else (expected,)
        for a, b in zip(given, found, strict=True):
            # Half precision is computed in float32, so it rounds less than the user's network.
            most = 1e-3 if function is a_smaller_type else 1e-6
            torch.testing.assert_close(b, a, rtol=most, atol=2 * most)


class Counting(nn.Module):
    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)
        self.register_buffer("calls", torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        self.calls[0] += 1
        y: Tensor = self.fc(x)
        return y


def test_a_write_to_a_stored_tensor_is_refused() -> None:
    with pytest.raises(UnsupportedOpError, match=r"changes its state: .*'calls'") as caught:
        from_exported(export(Counting(), (torch.randn(2, 3),)))
    assert "self.training" in caught.value.hint


def test_a_state_change_in_training_mode_names_training_mode() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    batch = ({0: torch.export.Dim("batch", min=1)},)
    exported = torch.export.export(model, (torch.randn(2, 1, 4, 4),), dynamic_shapes=batch)
    with pytest.raises(ModelRejectedError, match="training mode") as caught:
        from_exported(exported)
    assert type(caught.value) is ModelRejectedError  # not the code of unsupported operators
    assert caught.value.hint.startswith("Call model.eval()")


def test_a_view_without_inverse_is_named() -> None:
    def windows(x: Tensor) -> Tensor:
        x.unfold(2, 3, 1)[:, 0] = 0
        return x

    with pytest.raises(UnsupportedOpError, match=r"unfold.* no inverse") as caught:
        from_exported(export(Written(windows), (torch.randn(2, 4, 6, 6),)))
    assert "torch.cat" in caught.value.hint
