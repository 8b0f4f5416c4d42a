"""Keys ``sec_<id>_<secret>``: create, check, rotate and revoke. Only a hash is stored.

Stateless; `cache` holds the keys that an API process remembers.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.contracts.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    UnauthenticatedError,
)
from app.contracts.ids import new_id
from app.keys.scopes import ADMIN, OPERATOR, Scope, parse_scopes
from app.records.database import Sessions, current_time, reading
from app.records.tables import ApiKeyRow
from app.records.usage import count_keys, hold_tenant

DEFAULT_TENANT = "default"
_SECRET_BYTES = 32
_KEY = re.compile(r"sec_([0-9A-Z]{26})_([A-Za-z0-9_-]{43})")
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MOST_NAME_CHARACTERS = 200
_NOT_VALID = "the API key is not valid"


@dataclass(frozen=True)
class Principal:
    """Authenticated caller.

    Attributes:
        tenant: Tenant whose objects are visible.
        scopes: Granted scopes; ``admin`` includes all but ``operator``.
        key_id: Id of the key; None in no-auth mode.
    """

    tenant: str
    scopes: frozenset[str]
    key_id: str | None = None

    def require(self, scope: Scope) -> None:
        """Raise `ForbiddenError` without the scope."""
        is_included = ADMIN in self.scopes and scope != OPERATOR
        if scope not in self.scopes and not is_included:
            raise ForbiddenError(f"this key lacks the scope {scope!r}")


def create_key(
    sessions: Sessions,
    tenant: str,
    name: str,
    scopes: Sequence[str],
    expires_in_seconds: float | None = None,
) -> tuple[ApiKeyRow, str]:
    """Store a new key and return its row and its plaintext, which is not stored.

    Raises:
        InvalidInputError: The tenant, name, scopes or lifetime are invalid.
    """
    if not _TENANT.fullmatch(tenant):
        raise InvalidInputError(
            f"the tenant {tenant[:64]!r} must be 1 to 64 letters, digits, '.', '_' or '-'"
        )
    if not name or len(name) > MOST_NAME_CHARACTERS:
        raise InvalidInputError(
            f"a key's name has 1 to {MOST_NAME_CHARACTERS} characters, not {len(name)}"
        )
    if expires_in_seconds is not None and expires_in_seconds <= 0:
        raise InvalidInputError(f"a key cannot expire in {expires_in_seconds:g} seconds")
    with sessions.begin() as session:
        return _insert(session, tenant, name, parse_scopes(scopes), expires_in_seconds)


def grant_key(  # what the request says, and a limit
    sessions: Sessions,
    principal: Principal,
    *,
    name: str,
    scopes: Sequence[str],
    expires_in_seconds: float | None,
    most_keys: int,
) -> tuple[ApiKeyRow, str]:
    """Store a key for someone else in the caller's tenant, and return its row and plaintext.

    It may do no more than the caller's key, and lives no longer.

    Raises:
        ForbiddenError: The caller lacks ``admin`` or a granted scope, or authentication is off.
        UnauthenticatedError: The caller's key has been revoked or has expired.
        ConflictError: ``most_keys`` keys of the tenant are valid or younger than a day.
        InvalidInputError: The scopes or the lifetime are invalid.
    """
    principal.require(ADMIN)
    wanted = parse_scopes(scopes)
    for scope in wanted:
        principal.require(scope)
    with sessions.begin() as session:
        hold_tenant(session, principal.tenant)
        own = _own(session, principal, is_locked=True)
        now = current_time(session)
        ends = [own.expires_at - now] if own.expires_at is not None else []
        ends += [expires_in_seconds] if expires_in_seconds is not None else []
        if (number := count_keys(session, principal.tenant)) >= most_keys:
            raise ConflictError(
                f"the tenant has {number} keys that are valid or younger than a day, at most "
                f"{most_keys} are allowed: revoke some and create the key tomorrow"
            )
        return _insert(session, principal.tenant, name, wanted, min(ends, default=None))


def revoke_own(sessions: Sessions, principal: Principal, key_id: str) -> tuple[ApiKeyRow, float]:
    """Revoke another key of the caller's tenant; return its row and the time. Idempotent.

    Raises:
        ForbiddenError: The caller lacks ``admin``, or authentication is off, or the key has a scope
            that the caller's lacks.
        UnauthenticatedError: The caller's key has been revoked or has expired.
        NotFoundError: The tenant has no such key.
        ConflictError: It is the caller's own key.
    """
    principal.require(ADMIN)
    with sessions.begin() as session:
        own = _own(session, principal)
        row = session.get(ApiKeyRow, key_id, with_for_update=True)
        if row is None or row.tenant != principal.tenant:
            raise NotFoundError(f"there is no key {key_id[:64]!r}")
        if row.id == own.id:
            raise ConflictError("this request was made with the key itself: use another one")
        for scope in parse_scopes(row.scopes):
            principal.require(scope)
        now = current_time(session)
        row.revoked_at = row.revoked_at or now
        return row, now


def list_keys(sessions: Sessions, tenant: str | None = None) -> Sequence[ApiKeyRow]:
    """Return the keys of a tenant, or all, oldest first."""
    query = select(ApiKeyRow).order_by(ApiKeyRow.id)
    if tenant is not None:
        query = query.where(ApiKeyRow.tenant == tenant)
    with reading(sessions) as session:
        return session.scalars(query).all()


def revoke_key(sessions: Sessions, key_id: str) -> ApiKeyRow:
    """Revoke a key permanently. Idempotent.

    Raises:
        NotFoundError: There is no such key.
    """
    with sessions.begin() as session:
        row = _locked(session, key_id)
        row.revoked_at = row.revoked_at or current_time(session)
        return row


def rotate_key(
    sessions: Sessions, key_id: str, overlap_seconds: float
) -> tuple[ApiKeyRow, ApiKeyRow, str]:
    """Create a key's successor and keep the old key valid for a grace period.

    The new key has the old one's tenant, name, scopes and lifetime.

    Returns:
        The old row, the new row, and the new plaintext.

    Raises:
        NotFoundError: There is no such key.
        ConflictError: The key was already rotated or revoked, or has expired.
    """
    with sessions.begin() as session:
        old = _locked(session, key_id)
        now = current_time(session)
        if old.replaced_by is not None:
            raise ConflictError(f"{old.id} was replaced by {old.replaced_by}: rotate that one")
        if not is_live(old, now):
            raise ConflictError(f"{old.id} is no longer valid: create a new key")
        life = None if old.expires_at is None else old.expires_at - old.created_at
        new, plaintext = _insert(session, old.tenant, old.name, parse_scopes(old.scopes), life)
        old.replaced_by = new.id
        end = now + overlap_seconds
        old.expires_at = end if old.expires_at is None else min(old.expires_at, end)
    return old, new, plaintext


def refuse_malformed(plaintext: str) -> None:
    """Raise `UnauthenticatedError` for what cannot be a key, without a look at the database."""
    if _KEY.fullmatch(plaintext) is None:
        raise UnauthenticatedError(_NOT_VALID)


def authenticate(sessions: Sessions, plaintext: str) -> tuple[ApiKeyRow, float]:
    """Return the row of a key and the time at which it was found valid.

    Raises:
        UnauthenticatedError: The key is malformed, unknown, expired or revoked (undisclosed).
    """
    match = _KEY.fullmatch(plaintext)
    if match is None:
        raise UnauthenticatedError(_NOT_VALID)
    with reading(sessions) as session:
        row = session.get(ApiKeyRow, f"key_{match[1]}")
        now = current_time(session)
    # Compare even if the key does not exist, so that timing reveals nothing.
    expected = row.secret_sha256 if row is not None else _hash("")
    is_right = hmac.compare_digest(expected, _hash(match[2]))
    if row is None or not is_right or not is_live(row, now):
        raise UnauthenticatedError(_NOT_VALID)
    return row, now


def state_of(row: ApiKeyRow, now: float) -> Literal["valid", "replaced", "expired", "revoked"]:
    """Return what became of a key."""
    if row.revoked_at is not None:
        return "revoked"
    if not is_live(row, now):
        return "expired"
    return "valid" if row.replaced_by is None else "replaced"


def is_live(row: ApiKeyRow, now: float) -> bool:
    """Return whether a key is neither revoked nor expired."""
    return row.revoked_at is None and (row.expires_at is None or row.expires_at > now)


def _insert(
    session: Session, tenant: str, name: str, scopes: Sequence[Scope], life_seconds: float | None
) -> tuple[ApiKeyRow, str]:
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    now = current_time(session)
    row = ApiKeyRow(
        id=new_id("key"),
        tenant=tenant,
        name=name,
        secret_sha256=_hash(secret),
        scopes=list(scopes),
        created_at=now,
        expires_at=None if life_seconds is None else now + life_seconds,
        revoked_at=None,
        last_used_at=None,
        replaced_by=None,
    )
    session.add(row)
    return row, f"sec_{row.id.removeprefix('key_')}_{secret}"


def _own(session: Session, principal: Principal, *, is_locked: bool = False) -> ApiKeyRow:
    """Return the caller's own key, read again: a process remembers a revoked one for a second.

    With ``is_locked``, it cannot be revoked until the transaction ends.
    """
    row = (
        session.get(ApiKeyRow, principal.key_id, with_for_update=is_locked)
        if principal.key_id is not None
        else None
    )
    if row is None:
        raise ForbiddenError(
            "authentication is off, so keys protect nothing: set SECATEUR_API__IS_AUTH_REQUIRED"
        )
    if not is_live(row, current_time(session)):
        raise UnauthenticatedError(_NOT_VALID)
    return row


def _locked(session: Session, key_id: str) -> ApiKeyRow:
    row = session.get(ApiKeyRow, key_id, with_for_update=True)
    if row is None:
        raise NotFoundError(f"there is no key {key_id[:64]!r}")
    return row


def _hash(secret: str) -> str:
    # A slow hash protects guessable secrets. These are 256 random bits, which brute force cannot
    # find, and every poll would pay for a slow hash.
    return hashlib.sha256(secret.encode()).hexdigest()
