"""What the commands that use a service share: how they find it, and how they end.

docs/cli.md lists the exit codes.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Annotated

import typer

from secateur import (
    AuthenticationError,
    Client,
    ConfigurationError,
    ConnectionFailedError,
    PermissionDeniedError,
    SecateurError,
)

# A service that is not there is said to be so within seconds.
_RETRIES = 3
_COMPLETION_SECONDS = 2.0
LATEST = "latest"


class ExitCode(IntEnum):
    """How a command ends; public, as docs/cli.md has it."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4
    INTERRUPTED = 130


_PANEL = "Service"
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        help="Of the service; else SECATEUR_URL, or the one that `secateur serve` runs here.",
        rich_help_panel=_PANEL,
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        help="An API key; else SECATEUR_KEY, or what `secateur serve` has left. Others on this "
        "machine see options.",
        rich_help_panel=_PANEL,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def complete_jobs(incomplete: str) -> list[str]:
    """Return the ids of the latest jobs; nothing where they cannot be had at once."""
    try:
        with Client(timeout=_COMPLETION_SECONDS, retries=0) as client:
            ids = [job.id for job in client.jobs(limit=20)]
    except SecateurError:
        return []
    return [found for found in (LATEST, *ids) if found.startswith(incomplete)]


JobId = Annotated[
    str,
    typer.Argument(help=f"A job's id, or `{LATEST}`.", metavar="JOB", autocompletion=complete_jobs),
]
ModelOrFile = Annotated[
    Path, typer.Argument(help="A model's id or name, or a file to upload.", metavar="MODEL")
]
DataOrFile = Annotated[
    Path | None,
    typer.Argument(help="A data set's id or name, or a file to upload.", metavar="[DATA]"),
]


@contextmanager
def service(url: str | None, key: str | None) -> Iterator[Client]:
    """Yield a client; turn what goes wrong into a line on standard error and an exit code."""
    with reporting(), Client(url, key, retries=_RETRIES) as client:
        yield client


@contextmanager
def reporting(after_interrupt: str = "") -> Iterator[None]:
    """Turn what goes wrong into a line on standard error and an exit code."""
    try:
        yield
    except (SecateurError, OSError) as error:
        typer.secho(f"secateur: {error}", fg="red", err=True)
        raise typer.Exit(_code_of(error)) from error
    except KeyboardInterrupt as error:
        typer.secho(after_interrupt or "secateur: interrupted", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from error


def resolve_job(client: Client, job_id: str) -> str:
    """Return a job's id; `latest` is the newest there is.

    Raises:
        SecateurError: There is none.
    """
    if job_id != LATEST:
        return job_id
    found = client.jobs(limit=1)
    if not found:
        raise SecateurError("there is no job yet: secateur prune MODEL DATA posts one")
    return found[0].id


def fail_usage(message: str) -> typer.Exit:
    """Say what is wrong with the options, and return what to raise."""
    typer.secho(f"secateur: {message}", fg="red", err=True)
    return typer.Exit(ExitCode.USAGE)


def is_terminal() -> bool:
    """Return whether somebody watches what is said on the way."""
    return sys.stderr.isatty()


def _code_of(error: Exception) -> ExitCode:
    match error:
        case ConnectionFailedError():
            return ExitCode.UNREACHABLE
        case AuthenticationError() | PermissionDeniedError():
            return ExitCode.REFUSED
        case ConfigurationError():
            return ExitCode.USAGE
        case _:
            return ExitCode.FAILED
