"""Latencies in the database and the object store. Every query filters by tenant."""

import shlex
from functools import partial

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app.contracts.bench import Bench
from app.contracts.errors import ConflictError, ErrorDetail, InvalidInputError, NotFoundError
from app.contracts.ids import new_id
from app.contracts.latencies import (
    Latencies,
    LatenciesError,
    check_asked,
    check_covers,
    read_latencies,
)
from app.contracts.spec import PruneConfig
from app.dependencies import Context
from app.idempotency import IdempotencyKey, create_once, recall
from app.latencies.schemas import to_latencies
from app.models.service import refuse_while_used, store_within_quota
from app.records.database import current_time, reading
from app.records.deletion import find_deleted, hide
from app.records.lookup import known_names, only_one, owned
from app.records.stored import verdict_of
from app.records.tables import JobRow, LatenciesRow, ModelRow
from app.spool import Upload

_MAX_NAME = 200
_KIND = "file of latencies"


def bench_of(row: ModelRow) -> Bench:
    """Return the layers of a model to measure.

    Raises:
        ConflictError: The model is not ready, or was stored before this was known.
    """
    if row.report is None:
        raise ConflictError(f"model {row.id} is {row.status}: its layers are not known")
    found = verdict_of(row).bench
    if found is None:
        raise ConflictError(
            f"model {row.id} was stored by an earlier version, which did not list the layers to "
            "measure: upload its file again"
        )
    return found


def upload(
    context: Context, key: IdempotencyKey, file: Upload, name: str | None
) -> tuple[str, str]:
    """Check and store a device's latencies; return the id and the answer's JSON.

    Raises:
        InvalidInputError: The file is not right; the message names the row.
        NotFoundError: The model that was measured is not there.
        StorageQuotaError: The file exceeds the tenant's storage quota.
    """
    if (earlier := recall(context.sessions, key)) is not None:
        return earlier
    try:
        found = read_latencies(file.path.read_bytes(), context.settings.limits.latencies_rows)
        _check_model(context, key.tenant, found)
    except LatenciesError as error:
        raise InvalidInputError(str(error)) from error
    store_within_quota(context, key.tenant, file)

    def create(session: Session) -> tuple[str, str]:
        context.quotas.refuse_upload(session, key.tenant, file.num_bytes)
        row = _row(session, key.tenant, file, name, found)
        session.add(row)
        return row.id, to_latencies(row).model_dump_json()

    return create_once(context.sessions, key, create)


def _check_model(context: Context, tenant: str, found: Latencies) -> None:
    """Check that every layer of the tenant's model was measured.

    Raises:
        NotFoundError: There is no such model.
        LatenciesError: A row is not about the model, or is missing.
    """
    with reading(context.sessions) as session:
        row = session.get(ModelRow, found.model)
    if row is None or row.tenant != tenant or row.deleted_at is not None:
        raise NotFoundError(
            f"row 2: there is no model {found.model!r}: measure what `secateur bench MODEL` writes"
        )
    bench = bench_of(row)
    if found.bench != bench.id:
        raise LatenciesError(
            f"row 2: bench is {found.bench!r}, and that of model {row.name!r} is {bench.id!r}: "
            "the file is of another model, or of an earlier version of this service"
        )
    check_covers(found, bench, row.name)


def _row(
    session: Session, tenant: str, file: Upload, name: str | None, found: Latencies
) -> LatenciesRow:
    stem = (file.filename or "").rpartition("/")[2].rpartition(".")[0]
    return LatenciesRow(
        id=new_id("lat"),
        tenant=tenant,
        name=(name or stem or found.device)[:_MAX_NAME],
        filename=file.filename,
        sha256=file.sha256,
        num_bytes=file.num_bytes,
        model_id=found.model,
        bench=found.bench,
        summary={
            "device": found.device,
            "runtime": found.runtime,
            "runtime_version": found.runtime_version,
            "num_threads": found.num_threads,
            "batch_size": found.batch_size,
            "precisions": list(found.precisions),
            "num_rows": len(found.rows),
            "network_seconds": found.network_seconds,
        },
        created_at=current_time(session),
        deleted_at=None,
    )


def find(session: Session, tenant: str, reference: str) -> LatenciesRow:
    """Return a tenant's latencies by their id or name.

    Raises:
        NotFoundError: They do not exist or belong to another tenant.
        InvalidInputError: The name is ambiguous.
    """
    row = session.get(LatenciesRow, reference) or _by_name(session, tenant, reference)
    return owned(row, tenant, _KIND, reference, partial(known_names, session, LatenciesRow, tenant))


def _by_name(session: Session, tenant: str, name: str) -> LatenciesRow | None:
    query = of_tenant(tenant).where(LatenciesRow.name == name).order_by(LatenciesRow.created_at)
    return only_one(
        session,
        query,
        several=f"several latencies are named {name[:64]!r}",
        show=lambda row: row.id,
        hint="use an id",
    )


def of_tenant(tenant: str) -> "Select[LatenciesRow]":
    """Return the query for a tenant's latencies."""
    is_kept = LatenciesRow.deleted_at.is_(None)
    return select(LatenciesRow).where(LatenciesRow.tenant == tenant, is_kept)


def with_target(session: Session, tenant: str, config: PruneConfig, model: ModelRow) -> PruneConfig:
    """Return a config whose target is an id, after checking that it measured the model's layers.

    A model that is still validated is checked by the job.

    Raises:
        NotFoundError: There are no such latencies.
        InvalidInputError: They are of another model, precision or batch size.
    """
    selection = config.selection
    if selection.target is None:
        return config
    row = find(session, tenant, selection.target)
    pointer = "/config/selection/target"
    try:
        check_asked(row.summary["precisions"], row.summary["batch_size"], selection)
    except LatenciesError as error:
        message = f"the latencies {row.name!r} do not fit the config: {error}"
        raise InvalidInputError(message, details=[ErrorDetail(pointer, str(error))]) from error
    bench = verdict_of(model).bench
    if bench is not None and bench.id != row.bench:
        raise InvalidInputError(
            f"the latencies {row.name!r} are of another model than {model.name!r}, with other "
            f"layers: secateur bench {shlex.quote(model.name)}, and measure that on the device",
            details=[ErrorDetail(pointer, "measured another model")],
        )
    chosen = selection.model_copy(update={"target": row.id})
    return config.model_copy(update={"selection": chosen})


def delete(context: Context, tenant: str, latencies_id: str, *, is_permanent: bool) -> None:
    """Hide latencies until they are removed, or delete them for good.

    Raises:
        ConflictError: An unfinished job needs them.
    """
    with context.sessions.begin() as session:
        row = find(session, tenant, latencies_id)
        target = JobRow.resolved["selection"]["target"].as_string()
        refuse_while_used(session, (JobRow.tenant == tenant) & (target == row.id), row.id)
        hide(session, row, is_permanent=is_permanent)


def restore(context: Context, tenant: str, latencies_id: str) -> LatenciesRow:
    """Undo the deletion of latencies.

    Raises:
        NotFoundError: There are no such latencies, or they were deleted too long ago.
    """
    seconds = context.settings.retention.undo_seconds
    with context.sessions.begin() as session:
        row = find_deleted(session, LatenciesRow, tenant, _KIND, latencies_id, seconds)
        row.deleted_at = None
    return row
