"""Sweeps that compare their points before training, and train those that no other beats.

Such a sweep begins with a judging job for each point, which has the point's config and trains no
epoch: its result is the repaired network. The transaction that ends the last judging job creates a
training job for each point on a Pareto front. Nothing about this is stored (record 69): a judging
job is known by its config, and a point was chosen if it has another job.
"""

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.contracts.job import JobKind, JobState
from app.contracts.spec import PruneConfig, measures_onnx
from app.contracts.tasks import QUEUE_GPU
from app.records.compared import compared, fronts
from app.records.creation import NewJob, SweepPlace, create_job
from app.records.tables import DatasetRow, JobRow, ModelRow, SweepTableRow


def without_training(config: PruneConfig) -> PruneConfig:
    """Return a config whose result is the repaired network."""
    retrain = config.retrain.model_copy(update={"epochs": 0})
    return config.model_copy(update={"retrain": retrain})


def is_judging(job: JobRow) -> bool:
    """Return whether a job compares a point of a sweep that may be trained by another job."""
    retrain = (job.resolved or {}).get("retrain", {})
    if job.sweep_id is None or job.dataset_id is None or retrain.get("epochs") != 0:
        return False
    sent = _config_sent(job)
    return sent is not None and sent.retrain.epochs != 0


def train_chosen(session: Session, ended: JobRow) -> None:
    """Create the training jobs of a sweep if the last of its judging jobs has just ended.

    A sweep with a cancelled or deleted judging job, or whose model or data set has been deleted,
    trains nothing.
    """
    if not is_judging(ended):
        return
    session.flush()
    # Locked: of two jobs that end at once, the second one sees that the first one has ended.
    lock = select(SweepTableRow).where(SweepTableRow.id == ended.sweep_id).with_for_update()
    session.scalars(lock).one()
    query = select(JobRow).where(JobRow.sweep_id == ended.sweep_id).order_by(JobRow.sweep_index)
    jobs = session.scalars(query.execution_options(populate_existing=True)).all()
    judging = [job for job in jobs if is_judging(job)]
    is_over = all(JobState(job.state).is_final for job in judging)
    is_stopped = any(job.state == JobState.CANCELLED or job.deleted_at for job in judging)
    if not is_over or is_stopped or _are_inputs_gone(session, ended):
        return
    has_job = {job.sweep_index for job in jobs if not is_judging(job)}
    for job in _chosen(judging):
        if job.sweep_index not in has_job:
            _train(session, job)


def _chosen(judging: list[JobRow]) -> list[JobRow]:
    """Return the jobs on the front in MACs, or in latency where widths depend on it."""
    results = [compared(job) for job in judging]
    return [
        job
        for job, (is_front, is_fast) in zip(judging, fronts(results), strict=True)
        if is_front or (is_fast and measures_onnx(PruneConfig.model_validate(job.resolved)))
    ]


def _train(session: Session, judged: JobRow) -> None:
    config = _config_sent(judged)
    assert config is not None  # noqa: S101  # or it would not be judging
    resolved = config.model_dump(mode="json")
    resolved["selection"]["target"] = ((judged.resolved or {}).get("selection") or {}).get("target")
    place = SweepPlace(str(judged.sweep_id), judged.sweep_index or 0, judged.sweep_point or {})
    new = NewJob(
        tenant=judged.tenant,
        kind=JobKind.PRUNE,
        config=judged.config,
        resolved=resolved,
        device="cuda" if judged.queue == QUEUE_GPU else "cpu",
        max_attempts=judged.max_attempts,
        model_id=judged.model_id,
        dataset_id=judged.dataset_id,
        metadata=dict(judged.meta),
        place=place,
        time_limit_seconds=judged.time_limit_seconds,
    )
    create_job(session, new)


def _are_inputs_gone(session: Session, job: JobRow) -> bool:
    rows = session.get(ModelRow, job.model_id), session.get(DatasetRow, job.dataset_id)
    return any(row is None or row.deleted_at is not None for row in rows)


def _config_sent(job: JobRow) -> PruneConfig | None:
    """Return the config that the user sent; None if it was sent to a version with other options."""
    try:
        return PruneConfig.model_validate(job.config)
    except ValidationError:
        return None
