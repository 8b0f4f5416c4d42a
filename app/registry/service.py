"""Aliases in the database, switched in one transaction if the client's ETag is current.

An alias points at versions of one name. These versions can be neither deleted nor renamed.
"""

import hashlib
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.contracts.errors import ConflictError, NotFoundError
from app.http.errors import PreconditionFailedError, PreconditionRequiredError
from app.records.database import current_time
from app.records.names import hold_name
from app.records.tables import AliasRow, ModelRow
from app.registry.schemas import AliasTarget

_MAX_HISTORY = 20


def etag(row: AliasRow) -> str:
    """Return an ETag that changes with every switch and differs from a deleted namesake's."""
    digest = hashlib.sha256(f"{row.created_at!r} {row.revision}".encode()).hexdigest()
    return f'"{digest[:32]}"'


def find(session: Session, tenant: str, name: str, alias: str) -> AliasRow:
    """Return a tenant's alias.

    Raises:
        NotFoundError: The alias does not exist.
    """
    row = session.get(AliasRow, (tenant, name, alias))
    if row is None:
        raise NotFoundError(f"model {name[:64]!r} has no alias {alias[:64]!r}")
    return row


def list_all(session: Session, tenant: str, name: str) -> Sequence[AliasRow]:
    """Return the aliases of a name, in alphabetical order.

    Raises:
        NotFoundError: There is no model of that name.
    """
    if not _versions(session, tenant, name):
        raise NotFoundError(f"there is no model named {name[:64]!r}")
    query = select(AliasRow).where(AliasRow.tenant == tenant, AliasRow.name == name)
    return session.scalars(query.order_by(AliasRow.alias)).all()


def put(
    session: Session,
    key: tuple[str, str, str],
    targets: Sequence[AliasTarget],
    if_match: str | None,
    if_none_match: str | None,
) -> tuple[AliasRow, bool]:
    """Point an alias (tenant, name, alias) at versions; return its row, and whether it is new.

    Raises:
        NotFoundError: The tenant has no model of that name.
        ConflictError: A version does not exist or is not ready.
        PreconditionRequiredError: The alias exists and the client sent no ``If-Match``.
        PreconditionFailedError: The alias differs from the client's ETag.
    """
    tenant, name, alias = key
    hold_name(session, tenant, name)
    _check_versions(_versions(session, tenant, name), name, [t.version for t in targets])
    weights = {target.version: target.weight for target in targets}
    row = session.get(AliasRow, key)
    if row is not None:
        if if_none_match is not None:
            raise PreconditionFailedError(f"the alias {alias!r} exists already")
        _check_match(row, if_match)
        _switch(session, row, weights)
        return row, False
    if if_match is not None:
        raise PreconditionFailedError(
            f"the alias {alias!r} does not exist, but If-Match requires it to"
        )
    now = current_time(session)
    row = AliasRow(
        tenant=tenant,
        name=name,
        alias=alias,
        targets=weights,
        revision=1,
        history=[],
        created_at=now,
        updated_at=now,
    )
    session.add(row)
    return row, True


def roll_back(session: Session, key: tuple[str, str, str], if_match: str | None) -> AliasRow:
    """Point an alias at its previous target. Two rollbacks restore the first target.

    Raises:
        NotFoundError: There is no such alias.
        ConflictError: The alias has no previous target, or that target is gone.
        PreconditionRequiredError: The client sent no ``If-Match``.
        PreconditionFailedError: The alias differs from the client's ETag.
    """
    tenant, name, alias = key
    hold_name(session, tenant, name)
    row = find(session, *key)
    _check_match(row, if_match)
    if not row.history:
        raise ConflictError(f"the alias {alias!r} has no previous target")
    before = row.history[0]["targets"]
    _check_versions(_versions(session, tenant, name), name, list(before))
    _switch(session, row, before)
    return row


def delete(session: Session, key: tuple[str, str, str], if_match: str | None) -> None:
    """Remove an alias and its history.

    Raises:
        NotFoundError: There is no such alias.
        PreconditionRequiredError: The client sent no ``If-Match``.
        PreconditionFailedError: The alias differs from the client's ETag.
    """
    tenant, name, _ = key
    hold_name(session, tenant, name)
    row = find(session, *key)
    _check_match(row, if_match)
    session.delete(row)


def refuse_while_aliased(session: Session, model: ModelRow) -> None:
    """Raise `ConflictError` if an alias points at a model; lock the model's name."""
    hold_name(session, model.tenant, model.name)
    query = select(AliasRow).where(AliasRow.tenant == model.tenant, AliasRow.name == model.name)
    for row in session.scalars(query):
        if model.version in row.targets:
            raise ConflictError(
                f"the alias {row.alias!r} of {model.name[:64]!r} points at version {model.version}"
            )


def _switch(session: Session, row: AliasRow, weights: dict[str, int]) -> None:
    now = current_time(session)
    row.history = [{"targets": row.targets, "until": now}, *row.history][:_MAX_HISTORY]
    row.targets, row.revision, row.updated_at = weights, row.revision + 1, now


def _versions(session: Session, tenant: str, name: str) -> dict[str, str]:
    """Return the statuses of the versions of a name."""
    query = select(ModelRow.version, ModelRow.status).where(
        ModelRow.tenant == tenant, ModelRow.name == name, ModelRow.deleted_at.is_(None)
    )
    return dict(session.execute(query).all())


def _check_versions(statuses: dict[str, str], name: str, wanted: Sequence[str]) -> None:
    if not statuses:
        raise NotFoundError(f"there is no model named {name[:64]!r}")
    for version in wanted:
        status = statuses.get(version)
        if status is None:
            raise ConflictError(f"{name[:64]!r} has no version {version}")
        if status != "ready":
            raise ConflictError(f"version {version} of {name[:64]!r} is {status}, not ready")


def _check_match(row: AliasRow, if_match: str | None) -> None:
    if if_match is None:
        raise PreconditionRequiredError(
            f"send If-Match with the ETag of the alias {row.alias!r} that you saw, or * for any"
        )
    accepted = {part.strip() for part in if_match.split(",")}
    if not accepted & {"*", etag(row)}:
        raise PreconditionFailedError(
            f"the alias {row.alias!r} is now {etag(row)}, not {if_match[:100]}"
        )
