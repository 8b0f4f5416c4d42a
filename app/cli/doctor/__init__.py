"""What ``secateur doctor`` looks at, a module each. `run_checks` calls them all."""

from collections.abc import Callable, Iterator, Sequence

from app.cli.doctor.database import check_database
from app.cli.doctor.devices import check_devices
from app.cli.doctor.disk import check_disk
from app.cli.doctor.finding import Finding, Status
from app.cli.doctor.queue import check_queue
from app.cli.doctor.service import check_service
from app.cli.doctor.store import check_store
from app.cli.doctor.versions import check_versions
from app.contracts.settings import Settings, load_settings

Check = Callable[[Settings], Iterator[Finding]]

CHECKS: Sequence[tuple[str, Check]] = (
    ("devices", check_devices),
    ("queue", check_queue),
    ("database", check_database),
    ("store", check_store),
    ("disk", check_disk),
)


def run_checks(url: str | None, api_key: str | None) -> Iterator[Finding]:
    """Yield what is found, one thing after the other; nothing is changed.

    Args:
        url: Of a service to ask; else as for any command.
        api_key: Likewise.
    """
    yield from check_versions()
    try:
        settings = load_settings()
    except ValueError as error:
        message = str(error).replace("\n", " ")
        advice = "correct or unset the variable: docs/settings.md has all there are"
        yield Finding("settings", Status.FAIL, message, advice)
    else:
        yield Finding("settings", Status.OK, f"read; data directory {settings.data_dir.absolute()}")
        for name, check in CHECKS:
            yield from _guarded(name, check, settings)
    yield from check_service(url, api_key)


def _guarded(name: str, check: Check, settings: Settings) -> Iterator[Finding]:
    """Yield what a check finds; that it breaks is a finding, too."""
    try:
        yield from check(settings)
    except Exception as error:  # noqa: BLE001  # whatever is wrong, the other checks go on
        detail = f"{type(error).__name__}: {error}"
        yield Finding(name, Status.FAIL, detail, "this was not expected: please report it")
