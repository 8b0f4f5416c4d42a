"""Start a job on the example; its files are stored once for each tenant."""

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import select

from app.contracts.spec import PreprocessSpec
from app.dependencies import Context
from app.example import shapes
from app.idempotency import IdempotencyKey
from app.jobs.schemas import JobCreate
from app.jobs.service import create_from_files
from app.records.database import reading
from app.records.jobs import REJECTED
from app.records.tables import DatasetRow, ModelRow
from app.spool import Upload
from app.uploads import uploads_folder

_STEM = "secateur-example"
_WANTED = JobCreate(model="", goal="balanced", name="Example", tags=("example",))


def start(context: Context, key: IdempotencyKey) -> tuple[str, str]:
    """Create a job on the example; return its id and the answer's JSON.

    Raises:
        TooManyJobsError, ComputeQuotaError, StorageQuotaError: A quota is exceeded.
    """
    model_id = _stored(context, key.tenant, ModelRow, f"{_STEM}.onnx")
    dataset_id = _stored(context, key.tenant, DatasetRow, f"{_STEM}.npz")
    folder = uploads_folder(context.settings.scratch_dir)
    with _file(folder, f"{_STEM}.npz", None if dataset_id else shapes.dataset()) as data:
        network = None if model_id else shapes.NETWORK.read_bytes()
        with _file(folder, f"{_STEM}.onnx", network) as model:
            files = model or model_id, data or dataset_id
            assert files[0] is not None  # noqa: S101  # a file if no model is stored
            unit = PreprocessSpec(preset="unit")
            return create_from_files(context, key, files[0], files[1], _WANTED, {}, unit)


def _stored(
    context: Context, tenant: str, table: type[ModelRow | DatasetRow], filename: str
) -> str | None:
    """Return the id of a tenant's stored file of the example, or None."""
    query = select(table.id).where(
        table.tenant == tenant,
        table.filename == filename,
        table.status != REJECTED,
        table.deleted_at.is_(None),
    )
    with reading(context.sessions) as session:
        return session.scalars(query.order_by(table.created_at.desc()).limit(1)).first()


@contextmanager
def _file(folder: Path, filename: str, content: bytes | None) -> Iterator[Upload | None]:
    """Yield a file with this content as if it was uploaded; None if there is no content."""
    if content is None:
        yield None
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{secrets.token_hex(16)}.partial"
    path.write_bytes(content)
    try:
        yield Upload(path, hashlib.sha256(content).hexdigest(), len(content), filename)
    finally:
        path.unlink(missing_ok=True)
