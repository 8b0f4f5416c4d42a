"""Estimates of how long a job will run, before it is started.

From jobs of the same model and data set if there are any. Else from the amount of computation, at
the speed of this service's latest jobs, or at the speed of an ordinary processor.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.contracts.epochs import epochs_by_data, num_runs
from app.contracts.job import JobKind, JobState
from app.contracts.spec import PruneConfig
from app.contracts.tasks import queue_of
from app.records.tables import DatasetRow, JobRow, ModelRow

_NUM_JOBS = 20
_OPERATIONS_A_MAC = 6  # forward, and twice as many backward; a multiplication and an addition
_USUAL_SPEED = 3e10  # operations a second of two processor cores that train
_FIXED_SECONDS = 20.0  # for checks, surgery, measuring and exports
_SECONDS_A_LAYER_SEARCH = 30.0  # to measure every layer at several widths

_MOST_COUNT = 2**63  # no network and no data set has more of anything
_DECISIVE = (
    ("retrain", "epochs"),
    ("selection", "mode"),
    ("selection", "max_trials"),
    ("selection", "round_to"),
    ("criterion", "kind"),
)

Basis = Literal["jobs like it", "other jobs here", "its size"]


@dataclass(frozen=True)
class Estimate:
    """Expected running time of a job, and what the estimate is based on."""

    seconds: float
    basis: Basis


@dataclass(frozen=True)
class Past:
    """A job that succeeded.

    Attributes:
        model: Id of its model.
        dataset: Id of its data set.
        config: Its config, with every default filled in.
        seconds: Its running time.
        operations: Operations of its training; None if unknown.
    """

    model: str | None
    dataset: str | None
    config: dict[str, Any]
    seconds: float
    operations: float | None


def past_jobs(session: Session, tenant: str, device: str) -> list[Past]:
    """Return a tenant's latest jobs that succeeded."""
    query = (
        select(
            JobRow.model_id,
            JobRow.dataset_id,
            JobRow.resolved,
            JobRow.seconds_run,
            ModelRow.report,
            DatasetRow.summary,
        )
        .join(ModelRow, ModelRow.id == JobRow.model_id)
        .outerjoin(DatasetRow, DatasetRow.id == JobRow.dataset_id)
        .where(
            JobRow.tenant == tenant,
            JobRow.kind == JobKind.PRUNE,
            JobRow.state == JobState.SUCCEEDED,
            JobRow.queue == queue_of(JobKind.PRUNE, device),
        )
        .order_by(JobRow.id.desc())
        .limit(_NUM_JOBS)
    )
    found = []
    for model, dataset, resolved, seconds, report, summary in session.execute(query):
        try:
            config = PruneConfig.model_validate(resolved or {})
        except ValidationError:
            continue  # of an earlier version
        amount = operations(config, report, summary)
        found.append(Past(model, dataset, resolved or {}, seconds, amount))
    return found


def estimate(
    model: ModelRow, dataset: DatasetRow | None, config: PruneConfig, past: Sequence[Past]
) -> Estimate | None:
    """Return the expected running time of a job; None if the model's cost is not known yet."""
    wanted = config.model_dump(mode="json")
    dataset_id = None if dataset is None else dataset.id
    alike = [
        job.seconds
        for job in past
        if (job.model, job.dataset) == (model.id, dataset_id) and _is_alike(job.config, wanted)
    ]
    if alike:
        return Estimate(median(alike), "jobs like it")
    amount = operations(config, model.report, None if dataset is None else dataset.summary)
    if amount is None:
        return None
    extra = _SECONDS_A_LAYER_SEARCH if wanted["selection"].get("round_to") == "auto" else 0.0
    speeds = [
        job.operations / max(1.0, job.seconds - _FIXED_SECONDS)
        for job in past
        if job.operations and job.seconds > 2 * _FIXED_SECONDS
    ]
    speed = median(speeds) if speeds else _USUAL_SPEED
    seconds = _FIXED_SECONDS + extra + amount / speed
    return Estimate(seconds, "other jobs here" if speeds else "its size")


def operations(
    config: PruneConfig, report: dict[str, Any] | None, summary: dict[str, Any] | None
) -> float | None:
    """Return the operations of all trainings of a job; None if the model's cost is not known."""
    macs = _count((report or {}).get("macs"))
    if macs is None:
        return None
    samples = _training_samples(config, summary or {})
    steps = math.ceil(samples / config.retrain.batch_size)
    if not steps:
        return 0.0
    asked = config.retrain.epochs
    epochs = epochs_by_data(steps) if asked == "auto" else asked
    return float(macs) * _OPERATIONS_A_MAC * samples * epochs * num_runs(config)


def _training_samples(config: PruneConfig, summary: dict[str, Any]) -> int:
    splits = summary.get("splits")
    train = _count(splits.get("train")) if isinstance(splits, dict) else None
    if train is not None:
        return train
    total = _count(summary.get("num_samples")) or 0
    return int(total * (1 - config.split.validation - config.split.test))


def _count(value: object) -> int | None:
    """Return a count that a job's process reported, or None if it cannot be one."""
    return value if isinstance(value, int) and 0 <= value < _MOST_COUNT else None


def _is_alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether two configs train equally much and search alike."""
    same = all(one.get(a, {}).get(b) == other.get(a, {}).get(b) for a, b in _DECISIVE)
    return same and one.get("baselines") == other.get("baselines")
