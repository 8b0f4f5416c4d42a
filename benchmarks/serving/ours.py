"""A data directory with one model that is ready and one key: what the API process starts on."""

from pathlib import Path

from app.contracts.database import create_database, create_sessions, current_time
from app.contracts.ids import new_id
from app.contracts.migrations import upgrade
from app.contracts.settings import Settings
from app.contracts.storage import open_store
from app.contracts.tables import ModelRow
from app.keys.service import create_key


def prepare(onnx: Path, folder: Path) -> tuple[str, str]:
    """Return the id of a model that serves ``onnx``, and a key."""
    settings = Settings(data_dir=folder / "data")
    settings.data_dir.mkdir(parents=True)
    store = open_store(settings.storage_url, settings.storage)
    sha256 = store.put_file(onnx)
    engine = create_database(settings.database_url)
    upgrade(engine)
    sessions = create_sessions(engine)
    _row, key = create_key(sessions, "default", "benchmark", ["infer"])
    with sessions.begin() as session:
        row = ModelRow(
            id=new_id("mdl"),
            tenant="default",
            name="resnet20",
            version="1",
            status="ready",
            format="onnx",
            architecture=None,
            filename=onnx.name,
            sha256=sha256,
            num_bytes=onnx.stat().st_size,
            onnx_sha256=sha256,
            parent_id=None,
            job_id=None,
            preprocess=None,
            class_names=None,
            report=None,
            error=None,
            meta={},
            created_at=current_time(session),
            deleted_at=None,
        )
        session.add(row)
    engine.dispose()
    return row.id, key
