"""Models in the database and the object store. Every query filters by tenant."""

from functools import partial
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app.contracts.errors import ConflictError
from app.contracts.ids import new_id
from app.contracts.job import JobKind, JobState
from app.contracts.spec import ArchitectureSpec
from app.dependencies import Context
from app.idempotency import IdempotencyKey, create_once, recall
from app.models.schemas import ModelPatch, to_model
from app.records.database import current_time, reading
from app.records.deletion import find_deleted, hide
from app.records.jobs import REJECTED, NewJob, create_job
from app.records.lookup import known_names, only_one, owned
from app.records.names import next_version
from app.records.tables import JobRow, ModelRow
from app.registry.resolve import LATEST, split_reference
from app.registry.service import refuse_while_aliased
from app.spool import Upload
from app.uploads import check_model
from secateur.core.formats import suffixes

_MAX_NAME = 200


def upload(
    context: Context,
    key: IdempotencyKey,
    file: Upload,
    name: str | None,
    architecture: ArchitectureSpec | None,
) -> tuple[str, str]:
    """Store a model file and start its intake; return the id and the answer's JSON.

    Raises:
        UnsupportedMediaError: The file's format is not accepted.
        InvalidInputError: The file does not match ``architecture``.
        StorageQuotaError: The file exceeds the tenant's storage quota.
        TooManyJobsError: The tenant's job queue is full.
    """
    format_ = check_model(file, architecture)
    if (earlier := recall(context.sessions, key)) is not None:
        return earlier
    store_within_quota(context, key.tenant, file)

    def create(session: Session) -> tuple[str, str]:
        context.quotas.refuse_upload(session, key.tenant, file.num_bytes)
        row = insert(context, session, key.tenant, file, format_, name, architecture)
        return row.id, to_model(row).model_dump_json()

    return create_once(context.sessions, key, create)


def store_within_quota(context: Context, tenant: str, *files: Upload) -> None:
    """Put files into the store if the tenant's quotas allow it.

    Checked before the put, since stored files stay for a day, and again with the rows.

    Raises:
        StorageQuotaError: The files exceed the storage quota.
        TooManyJobsError: The intake jobs exceed the tenant's job queue.
    """
    with reading(context.sessions) as session:
        context.quotas.refuse_upload(session, tenant, sum(file.num_bytes for file in files))
    for file in files:
        context.store.put_file(file.path, file.sha256)


def insert(  # noqa: PLR0913, PLR0917  # the parts of a row
    context: Context,
    session: Session,
    tenant: str,
    file: Upload,
    format_: str,
    name: str | None,
    architecture: ArchitectureSpec | None,
) -> ModelRow:
    """Insert a model and its intake job in the caller's transaction."""
    stem = (file.filename or "model").rpartition("/")[2]
    for suffix in suffixes("model"):
        stem = stem.removesuffix(suffix)
    row = ModelRow(
        id=new_id("mdl"),
        tenant=tenant,
        name=(name or stem or "model")[:_MAX_NAME],
        version="1",
        tags=[],
        status="validating",
        format=format_,
        architecture=None if architecture is None else architecture.model_dump(mode="json"),
        filename=file.filename,
        sha256=file.sha256,
        num_bytes=file.num_bytes,
        onnx_sha256=None,
        parent_id=None,
        job_id=None,
        preprocess=None,
        class_names=None,
        report=None,
        error=None,
        meta={},
        created_at=current_time(session),
        deleted_at=None,
    )
    row.version = next_version(session, tenant, row.name)
    session.add(row)
    session.flush()
    worker = context.settings.worker
    new = NewJob(
        tenant, JobKind.INTAKE_MODEL, {}, {}, worker.device, worker.max_attempts, model_id=row.id
    )
    create_job(session, new)
    return row


def find(session: Session, tenant: str, reference: str) -> ModelRow:
    """Return a tenant's model by its id, its name (if unique) or ``name@version``.

    Raises:
        NotFoundError: The model does not exist or belongs to another tenant.
        InvalidInputError: The name is ambiguous.
    """
    row = session.get(ModelRow, reference) or _by_name(session, tenant, reference)
    known = partial(known_names, session, ModelRow, tenant)
    return owned(row, tenant, "model", reference, known)


def find_to_prune(session: Session, tenant: str, reference: str) -> ModelRow:
    """Return the model that a job of this id or name prunes: of a name, the newest upload.

    The models that jobs made have the names of the models that they pruned.

    Raises:
        NotFoundError: The model does not exist or belongs to another tenant.
        InvalidInputError: Only jobs made models of this name, and there are several.
    """
    if session.get(ModelRow, reference) is None:
        query = of_tenant(tenant).where(ModelRow.name == reference, ModelRow.job_id.is_(None))
        order = (ModelRow.status == REJECTED).asc(), ModelRow.created_at.desc()
        row = session.scalars(query.order_by(*order).limit(1)).first()
        if row is not None:
            return row
    return find(session, tenant, reference)


def _by_name(session: Session, tenant: str, reference: str) -> ModelRow | None:
    name, version = split_reference(reference)
    query = of_tenant(tenant).where(ModelRow.name == name).order_by(ModelRow.created_at)
    if version == LATEST:
        newest = of_tenant(tenant).where(ModelRow.name == name)
        return session.scalars(newest.order_by(ModelRow.created_at.desc()).limit(1)).first()
    if version is not None:
        query = query.where(ModelRow.version == version)
    return only_one(
        session,
        query,
        several=f"several models are named {reference[:64]!r}",
        show=lambda row: f"{row.name}@{row.version} ({row.id})",
        hint=f"name one, or {name[:64]}@{LATEST}",
    )


def of_tenant(tenant: str) -> "Select[ModelRow]":
    """Return the query for a tenant's models."""
    return select(ModelRow).where(ModelRow.tenant == tenant, ModelRow.deleted_at.is_(None))


def change(context: Context, tenant: str, model_id: str, patch: ModelPatch) -> ModelRow:
    """Change a model's name, tags or metadata.

    Raises:
        ConflictError: The name would change while an alias points at the model.
    """
    with context.sessions.begin() as session:
        row = find(session, tenant, model_id)
        if patch.name is not None and patch.name != row.name:
            refuse_while_aliased(session, row)
            row.version = next_version(session, tenant, patch.name)
            row.name = patch.name
        if patch.tags is not None:
            row.tags = list(patch.tags)
        if patch.metadata is not None:
            row.meta = patch.metadata
    return row


def delete(context: Context, tenant: str, model_id: str, *, is_permanent: bool) -> None:
    """Hide a model until it is removed, or delete it for good.

    Raises:
        ConflictError: An unfinished job needs the model, or an alias points at it.
    """
    with context.sessions.begin() as session:
        row = find(session, tenant, model_id)
        refuse_while_used(session, JobRow.model_id == row.id, row.id)
        refuse_while_aliased(session, row)
        hide(session, row, is_permanent=is_permanent)


def restore(context: Context, tenant: str, model_id: str) -> ModelRow:
    """Undo the deletion of a model.

    Raises:
        NotFoundError: There is no such model, or it was deleted too long ago.
    """
    seconds = context.settings.retention.undo_seconds
    with context.sessions.begin() as session:
        row = find_deleted(session, ModelRow, tenant, "model", model_id, seconds)
        row.deleted_at = None
    return row


def refuse_while_used(session: Session, condition: Any, object_id: str) -> None:  # noqa: ANN401  # SQL
    """Raise `ConflictError` while an unfinished job meets ``condition``."""
    live = [state for state in JobState if not state.is_final]
    job = session.scalars(select(JobRow).where(condition, JobRow.state.in_(live))).first()
    if job is not None:
        raise ConflictError(f"job {job.id} ({job.state}) still uses {object_id}; cancel it first")
