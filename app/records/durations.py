"""Estimate how long a job will run from similar jobs, for estimates of waits only.

Jobs are similar if they share kind, model and data set; the amount of training scales their time.
Jobs of other models count only if their networks and data have about the same size. Without similar
jobs there is no estimate: a wrong number is worse than none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from sqlalchemy import ColumnElement, Row, Select

from app.records.tables import DatasetRow, JobRow, ModelRow

_NUM_NEWEST = 5  # newest finished jobs considered
_MOST_SCALE = 10.0  # largest extrapolation of epochs, up or down
_MOST_SPREAD = 2.0  # largest ratio of sizes, and of durations, among jobs of other models
_FEWEST_OTHERS = 2
_FIXED_SHARE, _MOST_FIXED_SECONDS = 1 / 3, 10.0  # time of a training job besides training


@dataclass(frozen=True)
class JobShape:
    """Properties of a job that determine its duration.

    Attributes:
        kind: Kind of the job.
        model: Id of the model.
        dataset: Id of the data set.
        epochs: Passes over the training samples, in all trainings; None if unknown.
        size: MACs per sample times number of samples; None if unknown.
        options: Other relevant options of the config.
    """

    kind: str
    model: str | None
    dataset: str | None
    epochs: float | None
    size: float | None
    options: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class Experience:
    """Durations of finished jobs in seconds, newest first."""

    took: Sequence[tuple[JobShape, float]]

    def expect(self, shape: JobShape) -> float | None:
        """Return the expected duration of a job in seconds, or None."""
        subject = (shape.kind, shape.model, shape.dataset)
        same = [(s, t) for s, t in self.took if (s.kind, s.model, s.dataset) == subject]
        equal = [t for s, t in same if (s.epochs, s.options) == (shape.epochs, shape.options)]
        if equal:
            return median(equal[:_NUM_NEWEST])
        if same:
            return _scaled(shape, same)
        return _by_others(shape, self.took)


def shape_columns() -> tuple[ColumnElement[Any], ...]:
    """Return the columns that `shape_of` reads, for a query `with_sizes`."""
    config = JobRow.resolved
    return (
        JobRow.kind.label("kind"),
        JobRow.model_id.label("model_id"),
        JobRow.dataset_id.label("dataset_id"),
        config[("retrain", "epochs")].as_string().label("epochs"),
        config[("selection", "mode")].as_string().label("mode"),
        config[("selection", "max_trials")].as_string().label("max_trials"),
        config["baselines"].as_string().label("baselines"),
        config[("criterion", "kind")].as_string().label("criterion"),
        config[("criterion", "compare")].as_string().label("compare"),
        ModelRow.report["macs"].as_string().label("macs"),
        DatasetRow.summary["num_samples"].as_string().label("num_samples"),
    )


def with_sizes(query: Select[Any]) -> Select[Any]:
    """Join the rows that hold the sizes of a job's model and data set."""
    return query.outerjoin(ModelRow, ModelRow.id == JobRow.model_id).outerjoin(
        DatasetRow, DatasetRow.id == JobRow.dataset_id
    )


def shape_of(row: Row[Any]) -> JobShape:
    """Return the shape of a job from a row with `shape_columns`."""
    text = {
        name: None if (value := getattr(row, name)) is None else str(value).lower()
        for name in ("mode", "baselines", "criterion", "compare")
    }
    epochs, macs, samples = (
        _to_number(getattr(row, name)) for name in ("epochs", "macs", "num_samples")
    )
    if epochs is not None:
        trials = _to_number(row.max_trials) if text["mode"] == "accuracy" else 1.0
        epochs *= (trials or 1.0) + (2.0 if text["baselines"] in {"1", "true"} else 0.0)
    return JobShape(
        kind=str(row.kind),
        model=row.model_id,
        dataset=row.dataset_id,
        epochs=epochs,
        size=None if macs is None else macs * (samples or 1.0),
        options=(text["criterion"], text["compare"], text["mode"]),
    )


def _scaled(shape: JobShape, same: Sequence[tuple[JobShape, float]]) -> float | None:
    """Return the time of jobs of the same model and data set, scaled by epochs."""
    known = [(s.epochs, t) for s, t in same if s.epochs is not None]
    if shape.epochs is None or not known:
        return None
    x, y = [float(epochs) for epochs, _ in known], [seconds for _, seconds in known]
    most, least = max(x), min(x)
    if shape.epochs == 0 or most == 0:
        return median(y[:_NUM_NEWEST]) if shape.epochs == most else None
    if not most / _MOST_SCALE <= shape.epochs <= most * _MOST_SCALE:
        return None
    if most == least:
        base = median(y[:_NUM_NEWEST])
        fixed = min(_FIXED_SHARE * base, _MOST_FIXED_SECONDS)
        return fixed + (base - fixed) * shape.epochs / most
    mean_x, mean_y = fmean(x), fmean(y)
    products = [(a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)]
    slope = max(0.0, sum(products) / sum((a - mean_x) ** 2 for a in x))
    return max(
        0.5 * min(y) * min(1.0, shape.epochs / least if least else 1.0),
        mean_y + slope * (shape.epochs - mean_x),
    )


def _by_others(shape: JobShape, took: Sequence[tuple[JobShape, float]]) -> float | None:
    """Return the median time of similar jobs of other models of about this size."""
    if shape.size is None:
        return None
    alike = [
        seconds
        for s, seconds in took
        if s.kind == shape.kind
        and (s.epochs, s.options) == (shape.epochs, shape.options)
        and s.size is not None
        and max(s.size, shape.size) <= _MOST_SPREAD * min(s.size, shape.size)
    ][:_NUM_NEWEST]
    if len(alike) < _FEWEST_OTHERS or max(alike) > _MOST_SPREAD * min(alike):
        return None
    return median(alike)


def _to_number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None
