"""``Idempotency-Key``: repeated requests create once.

The key is a row written in the transaction that creates the object, so both exist or neither. Of
two concurrent requests, the second waits for the first's transaction and then replays its answer.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.contracts.errors import InvalidInputError
from app.records.database import Sessions, current_time, reading
from app.records.tables import IdempotencyRow

_MOST_CHARACTERS = 255
_KEY = re.compile(rf"[!-~]{{1,{_MOST_CHARACTERS}}}")


@dataclass(frozen=True)
class IdempotencyKey:
    """A key and the fingerprint of its request."""

    tenant: str
    key: str | None
    fingerprint: str


def idempotency_key(request: Request, tenant: str, *content: str) -> IdempotencyKey:
    """Return a request's key; ``content`` (hashes, JSON) identifies the body.

    Raises:
        InvalidInputError: The key is not 1 to 255 printable characters.
    """
    key = request.headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise InvalidInputError("Idempotency-Key must be 1 to 255 printable ASCII characters")
    parts = [request.method, request.url.path, request.url.query, *content]
    return IdempotencyKey(tenant, key, hashlib.sha256("\n".join(parts).encode()).hexdigest())


def recall(sessions: Sessions, key: IdempotencyKey) -> tuple[str, str] | None:
    """Return the id and the answer stored under a key, or None.

    Raises:
        InvalidInputError: The key was used for another request.
    """
    if key.key is None:
        return None
    with reading(sessions) as session:
        return _find(session, key)


def was_used(sessions: Sessions, tenant: str, key: str | None) -> bool:
    """Return whether a tenant has had an answer under a key, whatever the request was."""
    if key is None:
        return False
    with reading(sessions) as session:
        return session.get(IdempotencyRow, (tenant, key[:_MOST_CHARACTERS])) is not None


def create_once(
    sessions: Sessions, key: IdempotencyKey, create: Callable[[Session], tuple[str, str]]
) -> tuple[str, str]:
    """Run ``create`` in a transaction unless it already ran under the same key.

    Args:
        sessions: Session factory; the transaction is committed on return.
        key: The request's key.
        create: Returns the new object's id and the answer's JSON.

    Returns:
        The id and the answer's JSON.

    Raises:
        InvalidInputError: The key was used for another request.
    """
    try:
        with sessions.begin() as session:
            earlier = _find(session, key)
            if earlier is not None:
                return earlier
            object_id, response = create(session)
            if key.key is not None:
                session.add(
                    IdempotencyRow(
                        tenant=key.tenant,
                        key=key.key,
                        fingerprint=key.fingerprint,
                        object_id=object_id,
                        response=response,
                        created_at=current_time(session),
                    )
                )
    except IntegrityError:
        with reading(sessions) as session:
            earlier = _find(session, key)
        if earlier is None:
            raise
        return earlier
    return object_id, response


def _find(session: Session, key: IdempotencyKey) -> tuple[str, str] | None:
    if key.key is None:
        return None
    row = session.get(IdempotencyRow, (key.tenant, key.key))
    if row is None:
        return None
    if row.fingerprint != key.fingerprint:
        raise InvalidInputError(
            "this Idempotency-Key was used for another request", code="idempotency_key_reused"
        )
    assert row.object_id is not None  # noqa: S101  # written with the object
    assert row.response is not None  # noqa: S101
    return row.object_id, row.response
