"""Make and check keys ``sec_<id>_<secret>``: only a hash of the secret is stored."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from app.contracts.database import Sessions, current_time, reading
from app.contracts.errors import ForbiddenError, UnauthenticatedError
from app.contracts.ids import new_id
from app.contracts.tables import ApiKeyRow

_SECRET_BYTES = 32
_KEY = re.compile(r"sec_([0-9A-Z]{26})_([A-Za-z0-9_-]{43})")
ADMIN = "admin"


@dataclass(frozen=True)
class Principal:
    """Who is asking.

    Attributes:
        tenant: Whose things are visible.
        scopes: What may be done; ``admin`` includes everything.
    """

    tenant: str
    scopes: frozenset[str]

    def require(self, scope: str) -> None:
        """Raise `ForbiddenError` without the scope."""
        if scope not in self.scopes and ADMIN not in self.scopes:
            raise ForbiddenError(f"this key lacks the scope {scope!r}")


def create_key(
    sessions: Sessions, tenant: str, name: str, scopes: Sequence[str]
) -> tuple[ApiKeyRow, str]:
    """Store a new key and return its row and its plaintext, which exists nowhere else."""
    row_id = new_id("key")
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    with sessions.begin() as session:
        row = ApiKeyRow(
            id=row_id,
            tenant=tenant,
            name=name,
            secret_sha256=_hash(secret),
            scopes=list(scopes),
            created_at=current_time(session),
            expires_at=None,
            revoked_at=None,
        )
        session.add(row)
    return row, f"sec_{row_id.removeprefix('key_')}_{secret}"


def authenticate(sessions: Sessions, plaintext: str) -> Principal:
    """Return who holds a key.

    Raises:
        UnauthenticatedError: It is malformed, unknown, expired or revoked; which one is not said.
    """
    match = _KEY.fullmatch(plaintext)
    if match is None:
        raise UnauthenticatedError("the API key is not valid")
    with reading(sessions) as session:
        row = session.get(ApiKeyRow, f"key_{match[1]}")
        now = current_time(session)
    # Compared even when there is no such key, so that timing does not tell.
    expected = row.secret_sha256 if row is not None else _hash("")
    is_right = hmac.compare_digest(expected, _hash(match[2]))
    is_live = row is not None and row.revoked_at is None
    if row is None or not (is_right and is_live) or (row.expires_at or now) < now:
        raise UnauthenticatedError("the API key is not valid")
    return Principal(row.tenant, frozenset(row.scopes))


def _hash(secret: str) -> str:
    # A fast hash is enough: the secret is 256 random bits, not a password.
    return hashlib.sha256(secret.encode()).hexdigest()
