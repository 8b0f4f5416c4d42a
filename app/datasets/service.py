"""Data sets in the database and the object store. Every query filters by tenant."""

from functools import partial

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app.contracts.ids import new_id
from app.contracts.job import JobKind
from app.contracts.spec import PreprocessSpec
from app.datasets.schemas import DatasetCopy, DatasetPatch, to_dataset
from app.dependencies import Context
from app.idempotency import IdempotencyKey, create_once, recall
from app.models.service import refuse_while_used, store_within_quota
from app.records.database import current_time
from app.records.deletion import find_deleted, hide
from app.records.jobs import NewJob, create_job
from app.records.lookup import known_names, only_one, owned
from app.records.tables import DatasetRow, JobRow
from app.spool import Upload
from app.uploads import check_dataset

_MAX_NAME = 200


def upload(
    context: Context,
    key: IdempotencyKey,
    file: Upload,
    name: str | None,
    preprocess: PreprocessSpec,
) -> tuple[str, str]:
    """Store a data set and start its intake; return the id and the answer's JSON.

    Raises:
        UnsupportedMediaError: The file's format is not accepted.
        StorageQuotaError: The file exceeds the tenant's storage quota.
        TooManyJobsError: The tenant's job queue is full.
    """
    format_ = check_dataset(file)
    if (earlier := recall(context.sessions, key)) is not None:
        return earlier
    store_within_quota(context, key.tenant, file)

    def create(session: Session) -> tuple[str, str]:
        context.quotas.refuse_upload(session, key.tenant, file.num_bytes)
        row = insert(context, session, key.tenant, file, format_, name, preprocess)
        return row.id, to_dataset(row).model_dump_json()

    return create_once(context.sessions, key, create)


def copy(
    context: Context, key: IdempotencyKey, dataset_id: str, body: DatasetCopy
) -> tuple[str, str]:
    """Start the intake of a stored file with other preprocessing; return the id and the JSON.

    Raises:
        NotFoundError: The data set does not exist or belongs to another tenant.
        StorageQuotaError: The file, which counts once more, exceeds the tenant's storage quota.
        TooManyJobsError: The tenant's job queue is full.
    """

    def create(session: Session) -> tuple[str, str]:
        file = find(session, key.tenant, dataset_id)
        context.quotas.refuse_upload(session, key.tenant, file.num_bytes)
        name = body.name or file.name
        row = insert(context, session, key.tenant, file, file.format, name, body.preprocess)
        return row.id, to_dataset(row).model_dump_json()

    return create_once(context.sessions, key, create)


def insert(  # noqa: PLR0913, PLR0917  # the parts of a row
    context: Context,
    session: Session,
    tenant: str,
    file: Upload | DatasetRow,
    format_: str,
    name: str | None,
    preprocess: PreprocessSpec,
) -> DatasetRow:
    """Insert a data set and its intake job in the caller's transaction.

    The file is already stored, as an upload or as another data set's.
    """
    stem = (file.filename or "dataset").rpartition("/")[2].rpartition(".")[0]
    row = DatasetRow(
        id=new_id("ds"),
        tenant=tenant,
        name=(name or stem or "dataset")[:_MAX_NAME],
        tags=[],
        status="validating",
        format=format_,
        filename=file.filename,
        sha256=file.sha256,
        num_bytes=file.num_bytes,
        preprocess=preprocess.model_dump(mode="json"),
        summary=None,
        error=None,
        meta={},
        created_at=current_time(session),
        deleted_at=None,
    )
    session.add(row)
    session.flush()
    worker = context.settings.worker
    new = NewJob(
        tenant,
        JobKind.INTAKE_DATASET,
        {},
        {},
        worker.device,
        worker.max_attempts,
        dataset_id=row.id,
    )
    create_job(session, new)
    return row


def find(session: Session, tenant: str, reference: str) -> DatasetRow:
    """Return a tenant's data set by its id or its name.

    Raises:
        NotFoundError: The data set does not exist or belongs to another tenant.
        InvalidInputError: The name is ambiguous.
    """
    row = session.get(DatasetRow, reference) or _by_name(session, tenant, reference)
    known = partial(known_names, session, DatasetRow, tenant)
    return owned(row, tenant, "data set", reference, known)


def _by_name(session: Session, tenant: str, name: str) -> DatasetRow | None:
    query = of_tenant(tenant).where(DatasetRow.name == name).order_by(DatasetRow.created_at)
    return only_one(
        session,
        query,
        several=f"several data sets are named {name[:64]!r}",
        show=lambda row: row.id,
        hint="use an id",
    )


def of_tenant(tenant: str) -> "Select[DatasetRow]":
    """Return the query for a tenant's data sets."""
    return select(DatasetRow).where(DatasetRow.tenant == tenant, DatasetRow.deleted_at.is_(None))


def change(context: Context, tenant: str, dataset_id: str, patch: DatasetPatch) -> DatasetRow:
    """Change a data set's name, tags or metadata."""
    with context.sessions.begin() as session:
        row = find(session, tenant, dataset_id)
        if patch.name is not None:
            row.name = patch.name
        if patch.tags is not None:
            row.tags = list(patch.tags)
        if patch.metadata is not None:
            row.meta = patch.metadata
    return row


def delete(context: Context, tenant: str, dataset_id: str, *, is_permanent: bool) -> None:
    """Hide a data set until it is removed, or delete it for good.

    Raises:
        ConflictError: An unfinished job needs the data set.
    """
    with context.sessions.begin() as session:
        row = find(session, tenant, dataset_id)
        refuse_while_used(session, JobRow.dataset_id == row.id, row.id)
        hide(session, row, is_permanent=is_permanent)


def restore(context: Context, tenant: str, dataset_id: str) -> DatasetRow:
    """Undo the deletion of a data set.

    Raises:
        NotFoundError: There is no such data set, or it was deleted too long ago.
    """
    seconds = context.settings.retention.undo_seconds
    with context.sessions.begin() as session:
        row = find_deleted(session, DatasetRow, tenant, "data set", dataset_id, seconds)
        row.deleted_at = None
    return row
