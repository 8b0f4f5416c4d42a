"""The object store: whether it takes, gives and removes an object, and how late its clock is."""

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
    """Put, look at and remove an object of a byte."""
    url = settings.storage_url
    if url.startswith("file://") and not Path(url.removeprefix("file://")).exists():
        yield Finding(_NAME, Status.OK, f"{url} is made at the first start")
        return
    try:
        now = open_store(url, settings.storage).now()
    except (UnavailableError, OSError, ValueError) as error:
        cause = str(error.__cause__ or error).partition("\n")[0]
        advice = (
            "make the bucket, and check SECATEUR_STORAGE__URL, __ENDPOINT, __REGION and the keys"
            if not url.startswith("file://")
            else "give the user of the service the folder"
        )
        yield Finding(_NAME, Status.FAIL, f"{url}: {cause}", advice)
        return
    skew = abs(now - time.time())
    if skew > _SKEW_SECONDS:
        detail = f"{url} works, and its clock is {skew:.0f} s away from this machine's"
        yield Finding(_NAME, Status.NOTE, detail, "set both clocks by NTP")
    else:
        yield Finding(_NAME, Status.OK, f"{url} takes, gives and removes an object")
