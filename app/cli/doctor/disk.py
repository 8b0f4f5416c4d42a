"""Disk check: the data directory is writable and has space."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from app.cli.doctor.finding import Finding, Status
from app.contracts.settings import GIBIBYTE, Settings

_NAME = "disk"
_MIN_FREE_BYTES = GIBIBYTE


def check_disk(settings: Settings) -> Iterator[Finding]:
    """Check the folder of database, objects and scratch files."""
    data_dir = settings.data_dir.absolute()
    existing = next(folder for folder in (data_dir, *data_dir.parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(b"0")
    except OSError as error:
        advice = "make the folder writable for this user, or set SECATEUR_DATA_DIR"
        yield Finding(_NAME, Status.FAIL, f"{existing} is not writable: {error.strerror}", advice)
        return
    yield _check_space(existing, settings)


def _check_space(folder: Path, settings: Settings) -> Finding:
    free = shutil.disk_usage(folder).free
    # An upload is received and then stored, and a data set is also unpacked.
    largest = max(settings.limits.model_bytes, settings.limits.dataset_bytes)
    detail = f"{free / GIBIBYTE:.1f} GiB free at {folder}"
    if free < _MIN_FREE_BYTES:
        return Finding(
            _NAME, Status.FAIL, detail, "free some space, or set SECATEUR_DATA_DIR to another disk"
        )
    if free < 2 * largest:
        advice = (
            f"an upload may have {largest / GIBIBYTE:.1f} GiB and needs twice that: free some "
            "space, or lower SECATEUR_LIMITS__MODEL_BYTES and __DATASET_BYTES"
        )
        return Finding(_NAME, Status.NOTE, detail, advice)
    return Finding(_NAME, Status.OK, detail)
