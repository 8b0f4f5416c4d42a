"""The disk under the data directory: whether it can be written, and what is free."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from app.cli.doctor.finding import Finding, Status
from app.contracts.settings import GIBIBYTE, Settings

_NAME = "disk"
_LEAST_BYTES = GIBIBYTE


def check_disk(settings: Settings) -> Iterator[Finding]:
    """Look at the folder that rows, objects and scratch are in."""
    data_dir = settings.data_dir.absolute()
    there = next(folder for folder in (data_dir, *data_dir.parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"0")
    except OSError as error:
        advice = "give this user the folder, or set SECATEUR_DATA_DIR"
        yield Finding(_NAME, Status.FAIL, f"{there} cannot be written: {error.strerror}", advice)
        return
    yield _check_space(there, settings)


def _check_space(folder: Path, settings: Settings) -> Finding:
    free = shutil.disk_usage(folder).free
    # An upload is received and then stored; a data set is unpacked as well.
    largest = max(settings.limits.model_bytes, settings.limits.dataset_bytes)
    detail = f"{free / GIBIBYTE:.1f} GiB are free at {folder}"
    if free < _LEAST_BYTES:
        return Finding(_NAME, Status.FAIL, detail, "make room, or set SECATEUR_DATA_DIR elsewhere")
    if free < 2 * largest:
        advice = (
            f"uploads may have {largest / GIBIBYTE:.1f} GiB and take twice that: make room, or "
            "lower SECATEUR_LIMITS__MODEL_BYTES and __DATASET_BYTES"
        )
        return Finding(_NAME, Status.NOTE, detail, advice)
    return Finding(_NAME, Status.OK, detail)
