"""Layers of a model for a device to measure, as the worker reports and the API serves them.

`secateur_bench.py` reads them on the device; the rows that it writes are in `latencies`.
"""

from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

_Size = Annotated[int, Field(ge=0, lt=2**31)]
_Sizes = Annotated[tuple[_Size, ...], Field(max_length=3)]
BenchId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class LayerKey(NamedTuple):
    """Everything that determines the latency of a layer, besides batch size and precision."""

    kind: str
    groups: int
    space: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    in_channels: int
    out_channels: int

    def __str__(self) -> str:
        """Return the layer in words."""
        kind = self.kind.replace("_", " ")
        kernel = f"{'x'.join(map(str, self.kernel))} " if self.kernel else ""
        space = f" on {'x'.join(map(str, self.space))}" if self.kernel else ""
        groups = f" in {self.groups} groups" if self.groups > 1 else ""
        return f"{kernel}{kind}{space} from {self.in_channels} to {self.out_channels}{groups}"


class BenchLayer(BaseModel):
    """Layers that are alike but for their widths."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: Literal["conv", "conv_transpose", "linear"]
    groups: _Size | Literal["depthwise"]
    space: _Sizes
    kernel: _Sizes
    stride: _Sizes
    padding: _Sizes
    dilation: _Sizes
    widths: Annotated[tuple[tuple[_Size, _Size], ...], Field(max_length=10_000)] = Field(
        description="Pairs of input and output channels."
    )

    def at_widths(self) -> Iterator[LayerKey]:
        """Yield the layer at each of its widths."""
        sizes = self.space, self.kernel, self.stride, self.padding, self.dilation
        for num_in, num_out in self.widths:
            groups = num_in if self.groups == "depthwise" else self.groups
            yield LayerKey(self.kind, groups, *sizes, num_in, num_out)


class Bench(BaseModel):
    """Layers to measure, and their id: models with the same layers share it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: Literal[1] = 1
    id: BenchId
    layers: Annotated[tuple[BenchLayer, ...], Field(max_length=10_000)]

    def all_layers(self) -> Iterator[LayerKey]:
        """Yield every layer at every width."""
        for layer in self.layers:
            yield from layer.at_widths()
