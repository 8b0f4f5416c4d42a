"""Names of models: one change at a time, so that versions are counted once and aliases hold.

Whoever gives out a version, points an alias, or takes a version away holds the name first. Nothing
else is locked after it but rows of that name.
"""

import zlib

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.records.tables import ModelRow

_LOCK_CLASS = 0x5ECA7F  # any number: with a name's own, the name of its lock


def hold_name(session: Session, tenant: str, name: str) -> None:
    """Let no other transaction change what a name means until this one ends.

    SQLite has one writer at a time anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        number = zlib.crc32(f"{tenant}\n{name}".encode()) - 2**31
        session.execute(select(func.pg_advisory_xact_lock(_LOCK_CLASS, number)))


def next_version(session: Session, tenant: str, name: str) -> str:
    """Return the version after the highest there ever was, and hold the name."""
    hold_name(session, tenant, name)
    taken = session.scalars(
        select(ModelRow.version).where(ModelRow.tenant == tenant, ModelRow.name == name)
    )
    return str(1 + max((int(version) for version in taken if version.isdigit()), default=0))
