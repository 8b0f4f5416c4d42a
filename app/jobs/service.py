"""Jobs in the database. State changes go through `app.records`; queries filter by tenant."""

import json
from collections.abc import Sequence
from typing import Any

from fastapi.concurrency import run_in_threadpool
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app.contracts.errors import ConflictError, ErrorDetail, InvalidInputError
from app.contracts.job import JobKind, JobState
from app.contracts.spec import NO_PREPROCESS, PreprocessSpec, PruneConfig, part_that_needs_data
from app.datasets import service as datasets
from app.datasets.schemas import lacks_preprocess
from app.dependencies import Context
from app.idempotency import IdempotencyKey, create_once, recall
from app.jobs.lines import Standing
from app.jobs.routing import refuse_missing_targets, route
from app.jobs.schemas import JobCreate, to_job
from app.latencies import service as latencies
from app.models import service as models
from app.records import jobs
from app.records.database import reading
from app.records.events import PLAN, find_newest, list_events
from app.records.jobs import REJECTED, NewJob, SweepPlace
from app.records.lookup import owned
from app.records.tables import ArtifactRow, EventRow, JobRow
from app.spool import Upload
from app.uploads import check_dataset, check_model

_NO_DATA = "no data set was given: the pruned network is not retrained"


def create(
    context: Context, key: IdempotencyKey, body: JobCreate, sent: dict[str, Any]
) -> tuple[str, str]:
    """Create a job from ids; return its id and the answer's JSON.

    Raises:
        NotFoundError: The model or the data set does not exist.
        ConflictError: Intake rejected the model or the data set.
        InvalidInputError: The config needs a data set and none is given.
        TooManyJobsError, ComputeQuotaError, StorageQuotaError: A quota is exceeded.
    """

    def make(session: Session) -> tuple[str, str]:
        found = find_inputs(session, key.tenant, body)
        context.quotas.refuse_jobs(session, key.tenant)
        job = insert(context, session, key.tenant, found, config_sent(body, sent))
        return job.id, to_job(job, context.lines.standing(job, session)).model_dump_json()

    return create_once(context.sessions, key, make)


def config_sent(body: JobCreate, sent: dict[str, Any]) -> dict[str, Any]:
    """Return a job's config as it was sent, or that of its goal."""
    found: dict[str, Any] = sent.get("config", {})
    return found if body.goal is None else body.config.model_dump(mode="json", exclude_unset=True)


def create_from_files(  # noqa: PLR0913, PLR0917  # all parts of one request
    context: Context,
    key: IdempotencyKey,
    model: Upload | str,
    dataset: Upload | str | None,
    wanted: JobCreate,
    sent: dict[str, Any],
    preprocess: PreprocessSpec,
) -> tuple[str, str]:
    """Create model, data set and job in one transaction; return the job's id and answer.

    Model and data set may each be a file or the id of a stored one; they replace those of
    ``wanted``.

    Raises:
        NotFoundError: An id does not exist.
        UnsupportedMediaError: The format of a file is not accepted.
        InvalidInputError: The config needs a data set and none is given.
        TooManyJobsError, ComputeQuotaError, StorageQuotaError: A quota is exceeded.
    """
    model_format = check_model(model, None) if isinstance(model, Upload) else ""
    dataset_format = check_dataset(dataset) if isinstance(dataset, Upload) else ""
    if (earlier := recall(context.sessions, key)) is not None:
        return earlier
    files = [file for file in (model, dataset) if isinstance(file, Upload)]
    if files:
        models.store_within_quota(context, key.tenant, *files)

    def make(session: Session) -> tuple[str, str]:
        num_bytes = sum(file.num_bytes for file in files)
        context.quotas.refuse_upload(session, key.tenant, num_bytes)
        context.quotas.refuse_jobs(session, key.tenant, 1 + len(files))
        ids = [model, dataset]
        if isinstance(model, Upload):
            row = models.insert(context, session, key.tenant, model, model_format, None, None)
            ids[0] = row.id
        if isinstance(dataset, Upload):
            data = datasets.insert(
                context, session, key.tenant, dataset, dataset_format, None, preprocess
            )
            ids[1] = data.id
        found = {"model": str(ids[0]), "dataset": ids[1] and str(ids[1])}
        body = find_inputs(session, key.tenant, wanted.model_copy(update=found))
        job = insert(context, session, key.tenant, body, config_sent(body, sent))
        return job.id, to_job(job).model_dump_json()

    return create_once(context.sessions, key, make)


def find_inputs(session: Session, tenant: str, body: JobCreate) -> JobCreate:
    """Return a job with the names of its model and data set resolved to ids.

    Raises:
        NotFoundError: One of them does not exist.
        InvalidInputError: A name is ambiguous.
        ConflictError: Intake rejected the model or the data set.
    """
    model = models.find_to_prune(session, tenant, body.model)
    dataset = datasets.find(session, tenant, body.dataset) if body.dataset is not None else None
    for row in (model, dataset):
        if row is not None and row.status == REJECTED:
            message = (row.error or {}).get("message", "")
            raise ConflictError(f"{row.id} was rejected: {message}")
    return body.model_copy(
        update={"model": model.id, "dataset": None if dataset is None else dataset.id}
    )


def find(session: Session, tenant: str, job_id: str) -> JobRow:
    """Return a tenant's pruning job.

    Raises:
        NotFoundError: The job does not exist or belongs to another tenant.
    """
    return _show(session.get(JobRow, job_id), tenant, job_id)


def _show(row: JobRow | None, tenant: str, job_id: str) -> JobRow:
    is_shown = row is not None and row.kind == JobKind.PRUNE
    return owned(row if is_shown else None, tenant, "job", job_id)


async def read(context: Context, tenant: str, job_id: str) -> tuple[JobRow, Standing | None]:
    """Return a job and its position in the queue.

    Raises:
        NotFoundError: The job does not exist or belongs to another tenant.
    """
    row = _show(await context.job_reader.read(job_id), tenant, job_id)
    if context.lines.must_look(row):
        return row, await run_in_threadpool(context.lines.standing, row)
    return row, context.lines.standing(row)


def of_tenant(tenant: str) -> "Select[JobRow]":
    """Return the query for a tenant's pruning jobs."""
    return select(JobRow).where(
        JobRow.tenant == tenant, JobRow.kind == JobKind.PRUNE, JobRow.deleted_at.is_(None)
    )


def cancel(context: Context, tenant: str, job_id: str) -> JobRow:
    """Cancel a job.

    Raises:
        ConflictError: The job has ended.
    """
    with context.sessions.begin() as session:
        find(session, tenant, job_id)
        return jobs.request_cancel(session, job_id)


def pause(context: Context, tenant: str, job_id: str) -> JobRow:
    """Pause a job.

    Raises:
        ConflictError: The job has ended, is being cancelled, or waits for its inputs.
    """
    with context.sessions.begin() as session:
        find(session, tenant, job_id)
        return jobs.request_pause(session, job_id)


def resume(context: Context, tenant: str, job_id: str) -> JobRow:
    """Resume a paused job.

    Raises:
        ConflictError: The job is not paused.
    """
    with context.sessions.begin() as session:
        find(session, tenant, job_id)
        return jobs.resume(session, job_id)


def retry(context: Context, tenant: str, job_id: str) -> JobRow:
    """Try a failed job again.

    Raises:
        ConflictError: The job has not failed, or its model or data set is gone.
        NotFoundError: The latencies that it names are gone.
        StorageQuotaError, ComputeQuotaError, TooManyJobsError: A quota is used up.
    """
    with context.sessions.begin() as session:
        row = find(session, tenant, job_id)
        context.quotas.refuse_jobs(session, tenant)
        target = PruneConfig.model_validate(row.resolved or {}).selection.target
        if target is not None:
            latencies.find(session, tenant, target)
        return jobs.retry(session, job_id)


def events(  # selects events
    context: Context,
    tenant: str,
    job_id: str,
    *,
    after: int,
    limit: int,
    types: Sequence[str] = (),
) -> tuple[Sequence[EventRow], bool]:
    """Return events after a number, and whether they are the last of a finished job."""
    with reading(context.sessions) as session:
        row = find(session, tenant, job_id)
        is_over = JobState(row.state).is_final
        found = list_events(session, job_id=row.id, after=after, limit=limit, types=types)
        return found, is_over and len(found) < limit


def layers(context: Context, tenant: str, job_id: str) -> EventRow:
    """Return the event that describes the effect on each layer.

    Raises:
        ConflictError: The decision is not made yet or never will be.
    """
    with reading(context.sessions) as session:
        row = find(session, tenant, job_id)
        event = find_newest(session, job_id=row.id, kind=PLAN)
    if event is None:
        raise ConflictError(f"job {row.id} is {row.state}: which filters to remove is not decided")
    return event


def artifacts(context: Context, tenant: str, job_id: str) -> Sequence[ArtifactRow]:
    """Return a job's artifacts."""
    with reading(context.sessions) as session:
        row = find(session, tenant, job_id)
        query = select(ArtifactRow).where(ArtifactRow.job_id == row.id).order_by(ArtifactRow.name)
        return session.scalars(query).all()


def insert(  # noqa: PLR0913, PLR0917  # the columns of a row
    context: Context,
    session: Session,
    tenant: str,
    body: JobCreate,
    sent: dict[str, Any],
    place: SweepPlace | None = None,
    notes: tuple[str, ...] = (),
) -> JobRow:
    """Insert a job in the caller's transaction; ``notes`` are warnings for its user.

    Raises:
        InvalidInputError: The config needs a data set, or the webhook is not public.
        NoWorkerError: No worker has what the config asks for, or one lacks an export target.
    """
    config, warnings = resolve(body)
    warnings += notes
    model = models.find(session, tenant, body.model)
    config = latencies.with_target(session, tenant, config, model)
    if body.dataset is not None:
        dataset = datasets.find(session, tenant, body.dataset)
        warnings += (NO_PREPROCESS,) if lacks_preprocess(dataset) else ()
    _refuse_beyond_limits(context, body)
    _refuse_int8(context, config)
    worker, webhooks = context.settings.worker, context.settings.webhooks
    device, of_route = route(
        session, config.resources.accelerator, worker.device, has_data=body.dataset is not None
    )
    warnings += of_route
    refuse_missing_targets(session, config.export.targets, device)
    new = NewJob(
        tenant=tenant,
        kind=JobKind.PRUNE,
        config=json.loads(json.dumps(sent)),
        resolved=config.model_dump(mode="json"),
        device=device,
        max_attempts=body.max_attempts or worker.max_attempts,
        model_id=body.model,
        dataset_id=body.dataset,
        start_within_seconds=body.start_within_seconds,
        time_limit_seconds=body.time_limit_seconds,
        name=body.name,
        tags=body.tags,
        goal=body.goal,
        metadata=dict(body.metadata),
        warnings=warnings,
        place=place,
        webhook=(
            body.webhook.to_row(are_private_allowed=webhooks.are_private_addresses_allowed)
            if body.webhook is not None
            else None
        ),
    )
    return jobs.create_job(session, new)


def _refuse_beyond_limits(context: Context, body: JobCreate) -> None:
    """Refuse limits above the service's settings."""
    worker = context.settings.worker
    for name, most in (
        ("max_attempts", worker.max_attempts),
        ("time_limit_seconds", worker.time_limit_seconds),
    ):
        value = getattr(body, name)
        if value is not None and value > most:
            raise InvalidInputError(
                f"{name} is {value:g}, but this service allows at most {most:g}",
                details=[ErrorDetail(f"/{name}", f"more than {most:g}")],
            )


def _refuse_int8(context: Context, config: PruneConfig) -> None:
    """Refuse an int8 file for a service that computes on a GPU: it is for processors."""
    provider, precision = context.settings.inference.provider, config.precision
    if precision.kind == "int8" and precision.target == "auto" and provider != "cpu":
        raise InvalidInputError(
            "precision.kind is 'int8', whose file is for processors, but this service computes "
            f"with {provider}. To get a file for another machine, name its processor in "
            "precision.target",
            details=[ErrorDetail("/config/precision/target", "must name a processor")],
        )


def resolve(body: JobCreate) -> tuple[PruneConfig, tuple[str, ...]]:
    """Return the config with defaults filled in, and its warnings.

    Raises:
        InvalidInputError: The config needs a data set and none is given.
    """
    config = body.config
    if "onnx" not in config.export.formats:
        raise InvalidInputError(
            "export.formats must contain 'onnx', which the service needs for inference; "
            "secateur-engine can prune without it",
            details=[ErrorDetail("/config/export/formats", "must contain 'onnx'")],
        )
    if body.dataset is not None:
        return config, ()
    found = part_that_needs_data(config)
    if found is not None and body.goal is not None:
        raise InvalidInputError(
            f"goal {body.goal!r} needs a data set",
            details=[ErrorDetail("/goal", "needs 'dataset'")],
        )
    if found is not None:
        pointer, value = found
        name = pointer[1:].replace("/", ".")
        raise InvalidInputError(
            f"{name} {value!r} needs a data set",
            details=[ErrorDetail(f"/config{pointer}", "needs 'dataset'")],
        )
    if config.retrain.epochs == 0:
        return config, ()
    retrain = config.retrain.model_copy(update={"epochs": 0})
    return config.model_copy(update={"retrain": retrain}), (_NO_DATA,)
