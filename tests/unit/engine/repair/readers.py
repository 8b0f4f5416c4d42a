"""Networks that read the six channels of their first layer in every way that a weight can."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

_CHANNELS = 6


class Reading(nn.Module):
    """A pointwise convolution and the layer that reads it; channels 2 and 5 double 0 and 3."""

    def __init__(
        self, reader: nn.Module, rank: int = 2, read: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        super().__init__()
        make = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1]
        self.first = make(2, _CHANNELS, 1)
        self.reader = reader
        self.read = read
        with torch.no_grad():
            for tensor in self.first.parameters():
                tensor[2::3] = 2 * tensor[::3]

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        found: Tensor = self.reader(x if self.read is None else self.read(x))
        return found


class Weighted(nn.Module):
    """A stored weight and a product with it."""

    def __init__(self, shape: tuple[int, ...], product: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape))
        self.product = product

    def forward(self, x: Tensor) -> Tensor:
        return self.product(x, self.weight)


def _last(x: Tensor) -> Tensor:
    return x.movedim(1, -1)


def _flat(x: Tensor) -> Tensor:
    return x.flatten(2)


READERS: dict[str, Callable[[], Reading]] = {
    "conv1d": lambda: Reading(nn.Conv1d(6, 4, 3, stride=2, padding=1), 1),
    "conv2d": lambda: Reading(nn.Conv2d(6, 4, (3, 2), stride=(1, 2), padding=(2, 0), dilation=2)),
    "conv2d, same": lambda: Reading(nn.Conv2d(6, 4, 3, padding="same", dilation=2)),
    "conv2d without bias": lambda: Reading(nn.Conv2d(6, 4, 3, bias=False)),
    "conv3d": lambda: Reading(nn.Conv3d(6, 2, 2, padding=(1, 0, 1)), 3),
    "grouped": lambda: Reading(nn.Conv2d(6, 4, 3, groups=2)),
    "transposed, 1d": lambda: Reading(nn.ConvTranspose1d(6, 4, 3, 2, output_padding=1), 1),
    "transposed, 2d": lambda: Reading(nn.ConvTranspose2d(6, 4, 3, (2, 3), 1, dilation=2)),
    "transposed, 3d": lambda: Reading(nn.ConvTranspose3d(6, 2, 2, 2, bias=False), 3),
    "transposed, grouped": lambda: Reading(nn.ConvTranspose2d(6, 4, 3, 2, groups=2)),
    "linear": lambda: Reading(nn.Linear(6, 3), read=_last),
    "linear without bias": lambda: Reading(nn.Linear(6, 3, bias=False), read=_last),
    "matmul": lambda: Reading(Weighted((6, 3), lambda x, w: x @ w), read=_last),
    "matmul, transposed": lambda: Reading(Weighted((3, 6), lambda x, w: x @ w.T), read=_last),
    "matmul from the left": lambda: Reading(Weighted((3, 6), lambda x, w: w @ x), read=_flat),
    "einsum": lambda: Reading(Weighted((3, 6), lambda x, w: torch.einsum("bchw,oc->bohw", x, w))),
}
