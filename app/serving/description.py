"""Values that describe a served model: its inputs, its outputs, and what a run of it costs."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Self

from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

BYTES = "BYTES"
BFLOAT16 = "bfloat16"  # numpy has no such type: arrays are float32 outside the session


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape and type of a session's input or output.

    Attributes:
        name: Name in the ONNX file.
        shape: Sizes of the dimensions; None: dynamic.
        dtype: numpy's name, ``bfloat16`` (which numpy lacks), or `BYTES` for strings.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str = "float32"

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Return the specification that `asdict` wrote."""
        return cls(str(found["name"]), tuple(found["shape"]), str(found["dtype"]))


@dataclass(frozen=True)
class Cost:
    """What a run takes, measured by running one and two random samples; 0: unknown.

    Attributes:
        item_bytes: Memory that each further item takes during a run.
        run_bytes: Memory that a run takes for its first item.
        item_seconds: Compute time of one item.
    """

    item_bytes: int = 0
    run_bytes: int = 0
    item_seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model that the serving process has loaded.

    Attributes:
        inputs: Inputs in the file's order.
        outputs: Outputs in the file's order.
        num_bytes: Memory that the session holds.
        batch_symbol: Name of dimension 0 if all inputs and outputs share one dynamic name.
        is_independent: Whether items on dimension 0 do not influence each other.
        max_items: Items that one run of several requests should have.
        cost: What a run takes.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    num_bytes: int
    batch_symbol: str | None = None
    is_independent: bool = False
    max_items: int = 1
    cost: Cost = Cost()

    @cached_property
    def has_bfloat16(self) -> bool:
        """Whether an input or output has a type that numpy lacks."""
        return any(spec.dtype == BFLOAT16 for spec in (*self.inputs, *self.outputs))

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Return the description that `to_json` wrote."""
        return cls(
            tuple(map(TensorSpec.from_json, found["inputs"])),
            tuple(map(TensorSpec.from_json, found["outputs"])),
            int(found["num_bytes"]),
            found["batch_symbol"],
            bool(found["is_independent"]),
            int(found["max_items"]),
            Cost(**found["cost"]),
        )
