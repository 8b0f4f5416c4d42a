"""How many groups each family loses: plain values, built by the pipeline from the job's spec."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True)
class Steepness:
    """Cut each family's saliency curve where it turns steep (claim 3); larger prunes more."""

    steepness: float = 1.0


@dataclass(frozen=True)
class Ratio:
    """Remove a share of the groups, in every family or over the whole network."""

    ratio: float
    scope: Literal["layer", "global"] = "layer"


@dataclass(frozen=True)
class Budget:
    """Remove the groups that matter least for what they cost until a share of the cost is left."""

    unit: Literal["macs", "params", "latency"]
    share: float


@dataclass(frozen=True)
class LayerOverride:
    """What one layer does differently; None leaves the general rule."""

    ratio: float | None = None
    max_ratio: float | None = None
    min_channels: int | None = None


@dataclass(frozen=True)
class SelectionOptions:
    """The rule and its limits.

    Attributes:
        mode: The rule.
        max_ratio: No family loses more than this share of its groups.
        min_channels: No family keeps fewer channels than this, or than it has.
        round_to: Kept widths are multiples of this, where a layer is at least as wide; kernels
            compute in blocks, and a width of 11 is slower than one of 16. ``auto``: only widths
            that the measured staircase of the layer finds worth having.
        exclude: Globs on the names of filters (`conv1.weight`); what matches keeps everything.
        layers: Overrides by glob on the same names; of several that match, the later one counts.
    """

    mode: Steepness | Ratio | Budget = field(default_factory=Steepness)
    max_ratio: float = 0.9
    min_channels: int = 4
    round_to: int | Literal["auto"] = 8
    exclude: tuple[str, ...] = ()
    layers: Mapping[str, LayerOverride] = field(default_factory=lambda: MappingProxyType({}))

    def unmatched(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the globs that match none of ``names``: most likely a typing error."""
        known, globs = tuple(names), (*self.exclude, *self.layers)
        return tuple(g for g in globs if not any(fnmatchcase(name, g) for name in known))
