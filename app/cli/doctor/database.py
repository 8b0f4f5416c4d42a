"""The database: whether it answers, and whether its tables are this version's."""

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from app.cli.doctor.finding import Finding, Status
from app.contracts.settings import Settings
from app.records.database import create_database
from app.records.migrations import current_revision, newest_revision

_NAME = "database"


def check_database(settings: Settings) -> Iterator[Finding]:
    """Look at the rows' home."""
    try:
        url = make_url(settings.database_url)
    except SQLAlchemyError as error:
        advice = "SECATEUR_DATABASE__URL is such as postgresql://user:password@host/name"
        yield Finding(_NAME, Status.FAIL, f"the URL cannot be read: {error}", advice)
        return
    shown = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        yield Finding(_NAME, Status.OK, f"{shown} is made at the first start")
        return
    engine = create_database(settings.database_url)
    try:
        with engine.connect() as connection:
            revision = current_revision(connection)
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).strip().replace("\n", " ")
        advice = "start the database there, or correct SECATEUR_DATABASE__URL"
        yield Finding(_NAME, Status.FAIL, f"{shown}: {reason}", advice)
        return
    finally:
        engine.dispose()
    newest = newest_revision()
    if revision == newest:
        yield Finding(_NAME, Status.OK, f"{shown}, tables of revision {revision}")
    else:
        detail = f"{shown} has tables of revision {revision or 'none'}, and {newest} is needed"
        yield Finding(_NAME, Status.FAIL, detail, "secateur migrate (serve does it by itself)")
