"""Database check: the database answers and its schema is current."""

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
    """Check the connection and the schema revision."""
    try:
        url = make_url(settings.database_url)
    except SQLAlchemyError as error:
        advice = "set SECATEUR_DATABASE__URL to a URL such as postgresql://user:password@host/name"
        yield Finding(_NAME, Status.FAIL, f"the URL is invalid: {error}", advice)
        return
    shown = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        yield Finding(_NAME, Status.OK, f"{shown} is created at the first start")
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
        yield Finding(_NAME, Status.OK, f"{shown}, schema revision {revision}")
    else:
        detail = f"{shown} has schema revision {revision or 'none'}; this version needs {newest}"
        yield Finding(
            _NAME, Status.FAIL, detail, "run secateur migrate (secateur serve does so itself)"
        )
