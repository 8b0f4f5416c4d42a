"""The service's database for commands of operators, with errors as one line."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from sqlalchemy.exc import DBAPIError

from app.cli.environment import settings_or_exit
from app.contracts.errors import ServiceError
from app.records.database import Sessions, create_database, create_sessions


@contextmanager
def open_rows() -> Iterator[Sessions]:
    """Yield the sessions of the database in the settings; exit with 1 on an error."""
    engine = create_database(settings_or_exit().database_url)
    try:
        yield create_sessions(engine)
    except ServiceError as error:
        typer.secho(f"secateur: {error.message}", fg="red", err=True)
        raise typer.Exit(1) from error
    except DBAPIError as error:
        what = f"database error: {error.orig}; try secateur migrate"
        typer.secho(f"secateur: {what}", fg="red", err=True)
        raise typer.Exit(1) from error
    finally:
        engine.dispose()
