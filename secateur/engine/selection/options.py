"""Options of selection: plain values that the pipeline builds from the job's spec."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True)
class Steepness:
    """Cut each family's saliency curve where it turns steep (claim 3).

    Attributes:
        steepness: Slope at which the curve counts as steep, above 0; larger values prune more.
    """

    steepness: float = 1.0


@dataclass(frozen=True)
class Ratio:
    """Remove a share of the groups.

    Attributes:
        ratio: Share of the groups to remove, in (0, 1).
        scope: Whether the share applies to every family or to the whole network.
    """

    ratio: float
    scope: Literal["layer", "global"] = "layer"


@dataclass(frozen=True)
class Budget:
    """Remove the groups with the least damage per cost until a share of the cost is left.

    Attributes:
        unit: The cost: multiply-accumulates, parameters or measured seconds.
        share: Share of the dense network's cost to keep, in (0, 1).
    """

    unit: Literal["macs", "params", "latency"]
    share: float


@dataclass(frozen=True)
class LayerOverride:
    """Overrides for one layer; None keeps the general option."""

    ratio: float | None = None
    max_ratio: float | None = None
    min_channels: int | None = None


@dataclass(frozen=True)
class SelectionOptions:
    """The selection rule and its limits.

    Attributes:
        mode: The rule.
        max_ratio: Largest share of its groups that a family may lose.
        min_channels: Fewest channels that a family keeps, unless it has fewer already.
        round_to: Kept widths are multiples of this, unless the layer is narrower. Kernels compute
            in blocks, and a width of 11 is slower than one of 16. ``auto`` allows only the
            efficient widths of the layer's measured latency staircase.
        exclude: Globs on filter names (`conv1.weight`); matching families keep all groups.
        layers: Overrides by glob on the same names; later matches win.
    """

    mode: Steepness | Ratio | Budget = field(default_factory=Steepness)
    max_ratio: float = 0.9
    min_channels: int = 4
    round_to: int | Literal["auto"] = 8
    exclude: tuple[str, ...] = ()
    layers: Mapping[str, LayerOverride] = field(default_factory=lambda: MappingProxyType({}))

    def unmatched(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the globs that match none of ``names``; most likely typos."""
        known, globs = tuple(names), (*self.exclude, *self.layers)
        return tuple(g for g in globs if not any(fnmatchcase(name, g) for name in known))
