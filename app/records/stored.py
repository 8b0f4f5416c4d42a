"""What a job's process reported about a model, a data set or itself, read from the database.

The process opened untrusted files. The worker refuses what it must not report (`worker.results`),
and readers here take nothing for granted: one odd row must not make a whole list an error.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.contracts.bench import Bench
from app.contracts.task_spec import StoredTask
from app.records.tables import DatasetRow, JobRow, ModelRow

_EXACT = 2**53
_SPLITS = ("test", "validation")  # in order of preference
_Count = Annotated[int, Field(ge=0, lt=2**63)]
_Positive = Annotated[float, Field(gt=1e-12, lt=1e12)]  # a quotient of two is finite


class _Stored(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class Int8(_Stored):
    """Why a model has an int8 file, or none."""

    reason: str


class Verdict(_Stored):
    """What is known about a model."""

    num_parameters: _Count | None = None
    macs: _Count | None = None
    inputs: list[dict[str, Any]] | None = None
    outputs: list[dict[str, Any]] | None = None
    task: StoredTask | None = None
    bench: Bench | None = None  # None: stored before 0.4
    int8: Int8 | None = None  # None: its job was not asked for one


class DatasetSummary(_Stored):
    """What is known about a data set."""

    notes: list[str] = []
    class_names: list[str] = []


class Latency(_Stored):
    """Median time of a batch."""

    batch_size: int
    p50: _Positive


class Metrics(_Stored):
    """Metrics on one split, by name."""

    model_config = ConfigDict(extra="allow")

    split: str
    runtime: str
    interval: tuple[float, float] | None = None

    def value(self, name: str) -> float | None:
        """Return a metric; None: it was not measured."""
        found = (self.model_extra or {}).get(name)
        if isinstance(found, int) and abs(found) < _EXACT:  # JSON has one kind of number
            return float(found)
        return found if isinstance(found, float) and isfinite(found) else None


class Measured(NamedTuple):
    """A metric's split, value and 95 % interval; None: it was not measured."""

    split: str | None
    value: float | None
    interval: tuple[float, float] | None


class Network(_Stored):
    """Cost and quality of the dense, the repaired or the retrained network."""

    macs: _Count
    num_parameters: _Count
    latency_seconds: list[Latency] = []
    metrics: list[Metrics] = []

    def measured(self, name: str | None) -> Measured:
        """Return a metric as measured with torch, on the test split if there is one."""
        for split in _SPLITS:
            for found in self.metrics:
                if name and found.split == split and found.runtime == "torch":
                    return Measured(split, found.value(name), found.interval)
        return Measured(None, None, None)


class Speedup(_Stored):
    """Speed relative to the dense network, with the ends of its interval."""

    batch_size: int
    ratio: _Positive
    low: _Positive
    high: _Positive


class Load(_Stored):
    """Load of the machine during the measurements."""

    is_busy: bool | None = None


class JobVerdict(_Stored):
    """Whether to use the pruned network."""

    status: str
    text: str


class Summary(_Stored):
    """Result of a pruning job; without both networks there is nothing to compare."""

    dense: Network | None = None
    repaired: Network | None = None
    retrained: Network | None = None
    metric: str | None = "top1"  # None: no samples to measure with
    verdict: JobVerdict | None = None
    speedups: list[Speedup] = []
    load: Load | None = None


T = TypeVar("T", bound=_Stored)


def verdict_of(row: ModelRow) -> Verdict:
    """Return what is known about a model."""
    return _read(Verdict, row.report)


def variants_of(row: ModelRow) -> tuple[str, ...]:
    """Return the forms of a model that can be asked for: itself, its parent, its int8 file."""
    is_there = {"pruned": True, "base": row.parent_id, "int8": row.int8_sha256}
    return tuple(name for name, found in is_there.items() if found)


def summary_of_dataset(row: DatasetRow) -> DatasetSummary:
    """Return what is known about a data set."""
    return _read(DatasetSummary, row.summary)


def summary_of(row: JobRow) -> Summary:
    """Return the result of a pruning job."""
    return _read(Summary, (row.result or {}).get("summary"))


def _read(kind: type[T], found: object) -> T:
    """Return the readable fields of JSON; the others have their defaults."""
    fields = dict(found) if isinstance(found, Mapping) else {}
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        odd = {problem["loc"][0] for problem in error.errors()}
        return kind.model_validate({n: value for n, value in fields.items() if n not in odd})
