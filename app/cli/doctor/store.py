"""Object store check: an object can be written, read and removed, and the clocks agree."""

import time
from collections.abc import Iterator
from pathlib import Path

from app.cli.doctor.finding import Finding, Status
from app.contracts.errors import UnavailableError
from app.contracts.settings import Settings
from app.objects.storage import open_store

_NAME = "store"
_SKEW_SECONDS = 300.0


def check_store(settings: Settings) -> Iterator[Finding]:
    """Write, stat and remove a one-byte object and compare the store's clock with ours."""
    url = settings.storage_url
    if url.startswith("file://") and not Path(url.removeprefix("file://")).exists():
        yield Finding(_NAME, Status.OK, f"{url} is created at the first start")
        return
    try:
        now = open_store(url, settings.storage).now()
    except (UnavailableError, OSError, ValueError) as error:
        cause = str(error.__cause__ or error).partition("\n")[0]
        advice = (
            "create the bucket, and check SECATEUR_STORAGE__URL, __ENDPOINT, __REGION and the keys"
            if not url.startswith("file://")
            else "make the folder writable for the service's user"
        )
        yield Finding(_NAME, Status.FAIL, f"{url}: {cause}", advice)
        return
    skew = abs(now - time.time())
    if skew > _SKEW_SECONDS:
        detail = f"{url} works, but its clock differs from this machine's by {skew:.0f} s"
        yield Finding(_NAME, Status.NOTE, detail, "synchronize both clocks with NTP")
    else:
        yield Finding(_NAME, Status.OK, f"{url} is readable and writable")
