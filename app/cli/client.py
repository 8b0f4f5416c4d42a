"""Shared parts of the commands that call a service: options, client and exit codes.

docs/cli.md lists the exit codes.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Annotated

import typer

from app.cli.output import say
from app.contracts.config_options import OptionError
from secateur import (
    AuthenticationError,
    Client,
    ConfigurationError,
    ConnectionFailedError,
    PermissionDeniedError,
    SecateurError,
)

_RETRIES = 3  # an unreachable service is reported within seconds
_COMPLETION_SECONDS = 2.0
LATEST = "latest"


class ExitCode(IntEnum):
    """Exit code of a command. Public and stable: docs/cli.md lists them."""

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
        help="URL of the service. Default: SECATEUR_URL, or the local `secateur serve`.",
        rich_help_panel=_PANEL,
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        help="API key. Default: SECATEUR_KEY, or the key file of the local `secateur serve`. "
        "Other users of this machine can see command-line options.",
        rich_help_panel=_PANEL,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Permanent = Annotated[
    bool, typer.Option("--permanent", help="Delete for good: it cannot be restored.")
]


def complete_jobs(incomplete: str) -> list[str]:
    """Return the ids of the latest jobs, or nothing if the service does not answer quickly."""
    try:
        with Client(timeout=_COMPLETION_SECONDS, retries=0) as client:
            ids = [job.id for job in client.jobs(limit=20)]
    except SecateurError:
        return []
    return [job_id for job_id in (LATEST, *ids) if job_id.startswith(incomplete)]


JobId = Annotated[
    str,
    typer.Argument(
        help=f"Job id or name, or `{LATEST}`.", metavar="JOB", autocompletion=complete_jobs
    ),
]
ModelOrFile = Annotated[
    Path,
    typer.Argument(
        help="Model id, name, name@version or `latest`; or a file to upload.", metavar="MODEL"
    ),
]
DataOrFile = Annotated[
    Path | None,
    typer.Argument(
        help="Data set id, name or `latest`; or a file or folder of images to upload.",
        metavar="[DATA]",
    ),
]


@contextmanager
def service(url: str | None, key: str | None) -> Iterator[Client]:
    """Yield a client. Report errors as `reporting` does."""
    with reporting(), Client(url, key, retries=_RETRIES) as client:
        yield client


@contextmanager
def reporting(after_interrupt: str = "") -> Iterator[None]:
    """Report an error as one line on standard error and exit with its code.

    Args:
        after_interrupt: Message printed on Ctrl-C.
    """
    try:
        yield
    except (SecateurError, OSError) as error:
        say(f"secateur: {_text_of(error)}", colour="red")
        raise typer.Exit(_code_of(error)) from error
    except KeyboardInterrupt as error:
        say(after_interrupt or "secateur: interrupted")
        raise typer.Exit(ExitCode.INTERRUPTED) from error


@contextmanager
def usage_errors() -> Iterator[None]:
    """Turn errors in the options of a config into a usage error.

    Raises:
        typer.BadParameter: Options contradict each other or do not exist in the config.
    """
    try:
        yield
    except OptionError as error:
        raise typer.BadParameter(str(error)) from error


def fail_usage(message: str) -> typer.Exit:
    """Print a usage error and return the exception to raise."""
    say(f"secateur: {message}", colour="red")
    return typer.Exit(ExitCode.USAGE)


def is_terminal() -> bool:
    """Return whether standard error is a terminal."""
    return sys.stderr.isatty()


def _text_of(error: Exception) -> str:
    """Return an error's message; for a file, its name and the reason, without an error number."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


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
