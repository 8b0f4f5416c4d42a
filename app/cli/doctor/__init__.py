"""Checks of ``secateur doctor``, one module each. `run_checks` runs them all."""

from collections.abc import Callable, Iterator, Sequence

from app.cli.doctor.database import check_database
from app.cli.doctor.devices import check_devices
from app.cli.doctor.disk import check_disk
from app.cli.doctor.finding import Finding, Status
from app.cli.doctor.jobs import check_jobs
from app.cli.doctor.queue import check_queue
from app.cli.doctor.sandbox import check_sandbox
from app.cli.doctor.service import check_service
from app.cli.doctor.store import check_store
from app.cli.doctor.versions import check_versions
from app.contracts.settings import Settings, load_settings

Check = Callable[[Settings], Iterator[Finding]]

CHECKS: Sequence[tuple[str, Check]] = (
    ("devices", check_devices),
    ("sandbox", check_sandbox),
    ("queue", check_queue),
    ("database", check_database),
    ("store", check_store),
    ("disk", check_disk),
    ("jobs", check_jobs),
)


def run_checks(url: str | None, api_key: str | None) -> Iterator[Finding]:
    """Run every check and yield its findings. No check changes anything.

    Args:
        url: URL of the service to check. Default: the one that other commands use.
        api_key: API key for that service. Default: the one that other commands use.
    """
    yield from check_versions()
    try:
        settings = load_settings()
    except ValueError as error:
        message = str(error).replace("\n", " ")
        advice = "correct or unset the variable: docs/settings.md lists all settings"
        yield Finding("settings", Status.FAIL, message, advice)
    else:
        yield Finding("settings", Status.OK, f"read; data directory {settings.data_dir.absolute()}")
        for name, check in CHECKS:
            yield from _guarded(name, check, settings)
    yield from check_service(url, api_key)


def _guarded(name: str, check: Check, settings: Settings) -> Iterator[Finding]:
    """Yield a check's findings. An unexpected exception becomes a finding."""
    try:
        yield from check(settings)
    except Exception as error:  # noqa: BLE001  # the other checks must still run
        detail = f"{type(error).__name__}: {error}"
        yield Finding(name, Status.FAIL, detail, "unexpected error: please report it")
