"""Lock on a model's name, so that version numbers are unique and aliases stay valid.

A transaction that adds or deletes a version or changes an alias takes this lock first. Afterwards
it locks only rows of that name.
"""

import zlib

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.records.tables import ModelRow

_LOCK_CLASS = 0x5ECA7F  # arbitrary; together with a hash of the name, the key of its lock


def hold_name(session: Session, tenant: str, name: str) -> None:
    """Lock a model's name until the transaction ends.

    SQLite needs no lock: it has only one writer at a time.
    """
    if session.get_bind().dialect.name == "postgresql":
        number = zlib.crc32(f"{tenant}\n{name}".encode()) - 2**31
        session.execute(select(func.pg_advisory_xact_lock(_LOCK_CLASS, number)))


def next_version(session: Session, tenant: str, name: str) -> str:
    """Lock the name and return the version after the highest ever used."""
    hold_name(session, tenant, name)
    taken = session.scalars(
        select(ModelRow.version).where(ModelRow.tenant == tenant, ModelRow.name == name)
    )
    return str(1 + max((int(version) for version in taken if version.isdigit()), default=0))
