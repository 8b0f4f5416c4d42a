"""Sweeps in the database. A sweep's status is derived from its jobs on each read.

A stored status would have to be repaired when a worker dies, and nothing waits for a sweep to end.
Every query filters by tenant.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from app.contracts.errors import ConflictError, InvalidInputError
from app.contracts.ids import new_id
from app.contracts.job import JobState
from app.dependencies import Context
from app.idempotency import IdempotencyKey, create_once
from app.jobs import service as jobs
from app.jobs.schemas import JobCreate
from app.paging import to_time
from app.records import jobs as job_rows
from app.records.database import current_time, reading
from app.records.jobs import SweepPlace
from app.records.lookup import owned
from app.records.sweeps import without_training
from app.records.tables import JobRow, SweepTableRow
from app.sweeps.grid import Point, expand, refuse_duplicates
from app.sweeps.judging import are_judged
from app.sweeps.schemas import Status, Sweep, SweepCreate

Counts = Mapping[str, int]

_JUDGED = (
    "the sweep compares this point with the others before training, by its repaired network. If no "
    "other point beats it, it is trained in a job of its own"
)


def create(context: Context, key: IdempotencyKey, body: SweepCreate) -> tuple[str, str]:
    """Create a sweep and its first jobs atomically; return its id and the answer's JSON.

    The transaction that ends the last judging job creates the others (`records.sweeps`).

    Raises:
        InvalidInputError: The grid or one of its points is invalid.
        NotFoundError: The model or the data set does not exist.
        ConflictError: Intake rejected the model or the data set.
        TooManyJobsError, ComputeQuotaError, StorageQuotaError: A quota is exceeded.
    """
    points = expand(body.config, body.grid)
    bodies = [
        JobCreate(
            model=body.model, dataset=body.dataset, config=point.config, metadata=body.metadata
        )
        for point in points
    ]
    _check(points, bodies)
    notes: tuple[str, ...] = ()
    if are_judged(points, body.train, has_data=body.dataset is not None):
        notes = (_JUDGED,)
        bodies = [job.model_copy(update={"config": without_training(job.config)}) for job in bodies]

    def insert(session: Session) -> tuple[str, str]:
        first = jobs.find_inputs(session, key.tenant, bodies[0])
        ids = {"model": first.model, "dataset": first.dataset}
        context.quotas.refuse_jobs(session, key.tenant, len(bodies))
        row = _insert(session, key.tenant, body.model_copy(update=ids))
        for index, (point, job) in enumerate(zip(points, bodies, strict=True)):
            place = SweepPlace(row.id, index, point.values)
            found = job.model_copy(update=ids)
            jobs.insert(context, session, key.tenant, found, point.sent, place, notes)
        session.flush()
        counts = count_states(session, [row.id])[row.id]
        return row.id, to_sweep(row, counts).model_dump_json()

    return create_once(context.sessions, key, insert)


def find(session: Session, tenant: str, sweep_id: str) -> SweepTableRow:
    """Return a tenant's sweep.

    Raises:
        NotFoundError: The sweep does not exist or belongs to another tenant.
    """
    return owned(session.get(SweepTableRow, sweep_id), tenant, "sweep", sweep_id)


def read(
    context: Context, tenant: str, sweep_id: str
) -> tuple[SweepTableRow, Sequence[tuple[dict[str, Any], JobRow]]]:
    """Return a sweep and its jobs with their points, in the grid's order."""
    with reading(context.sessions) as session:
        row = find(session, tenant, sweep_id)
        query = select(JobRow).where(JobRow.sweep_id == row.id, JobRow.deleted_at.is_(None))
        query = query.order_by(JobRow.sweep_index, JobRow.id)
        found = session.scalars(query).all()
        return row, [(dict(job.sweep_point or {}), job) for job in found]


def of_tenant(tenant: str) -> "Select[SweepTableRow]":
    """Return the query for a tenant's sweeps."""
    return select(SweepTableRow).where(SweepTableRow.tenant == tenant)


def show_all(session: Session, rows: Sequence[SweepTableRow]) -> list[Sweep]:
    """Return the API's representation of sweeps; one query counts the jobs of all."""
    counts = count_states(session, [row.id for row in rows])
    return [to_sweep(row, counts[row.id]) for row in rows]


def cancel(context: Context, tenant: str, sweep_id: str) -> None:
    """Cancel every unfinished job of a sweep; ignore jobs that end meanwhile."""
    with reading(context.sessions) as session:
        row = find(session, tenant, sweep_id)
    asked: set[str] = set()
    # Again, because a job that ends meanwhile may have been the last before others are trained.
    while ids := _unfinished(context, row.id) - asked:
        asked |= ids
        for job_id in sorted(ids):
            with context.sessions.begin() as session:
                try:
                    job_rows.request_cancel(session, job_id)
                except ConflictError:
                    continue


def _unfinished(context: Context, sweep_id: str) -> set[str]:
    final = [state for state in JobState if state.is_final]
    query = select(JobRow.id).where(JobRow.sweep_id == sweep_id, JobRow.state.not_in(final))
    with reading(context.sessions) as session:
        return set(session.scalars(query))


def count_states(session: Session, ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return the job counts by state of each sweep."""
    query = (
        select(JobRow.sweep_id, JobRow.state, func.count())
        .where(JobRow.sweep_id.in_(ids), JobRow.deleted_at.is_(None))
        .group_by(JobRow.sweep_id, JobRow.state)
    )
    found: dict[str, dict[str, int]] = {sweep_id: {} for sweep_id in ids}
    for sweep_id, state, number in session.execute(query):
        found[str(sweep_id)][state] = number
    return found


def status_of(counts: Counts) -> Status:
    """Return the status that follows from the jobs' states."""
    if any(not JobState(state).is_final for state in counts):
        return "running"
    num_good = counts.get(JobState.SUCCEEDED, 0)
    if num_good == sum(counts.values()):
        return "succeeded"
    if num_good > 0:
        return "partial"
    return "cancelled" if counts.get(JobState.CANCELLED, 0) == sum(counts.values()) else "failed"


def to_sweep(row: SweepTableRow, counts: Counts) -> Sweep:
    """Return the API's representation of a row."""
    base = f"/v1/sweeps/{row.id}"
    return Sweep(
        id=row.id,
        status=status_of(counts),
        counts=dict(counts),
        model=row.model_id,
        dataset=row.dataset_id,
        config=row.config,
        grid=row.grid,
        metadata=row.meta,
        created_at=to_time(row.created_at),
        urls={"self": base, "picture": f"{base}/pareto.svg", "cancel": f"{base}/cancel"},
    )


def _check(points: Sequence[Point], bodies: Sequence[JobCreate]) -> None:
    """Refuse points that are invalid or equal once resolved as jobs."""
    resolved = []
    for point, body in zip(points, bodies, strict=True):
        try:
            resolved.append(jobs.resolve(body)[0])
        except InvalidInputError as error:
            raise point.refusal(error.message, error.details) from error
    refuse_duplicates(
        points, resolved
    )  # without data nothing is retrained, so points may become equal


def _insert(session: Session, tenant: str, body: SweepCreate) -> SweepTableRow:
    row = SweepTableRow(
        id=new_id("swp"),
        tenant=tenant,
        model_id=body.model,
        dataset_id=body.dataset,
        config=body.config,
        grid=body.grid,
        meta=dict(body.metadata),
        created_at=current_time(session),
    )
    session.add(row)
    session.flush()  # the jobs reference the sweep
    return row
