"""Prepare a data directory with ready models and one key for the API process."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from app.contracts.ids import new_id
from app.contracts.settings import Settings
from app.keys.service import create_key
from app.objects.storage import open_store
from app.records.database import Sessions, create_database, create_sessions, current_time
from app.records.migrations import upgrade
from app.records.tables import ModelRow


def prepare(onnx: Path, folder: Path) -> tuple[str, str]:
    """Return the id of a model that serves ``onnx``, and a key."""
    ids, key = prepare_models([("resnet20", onnx)], folder, ["infer"])
    return ids[0], key


def prepare_models(
    models: Sequence[tuple[str, Path]], folder: Path, scopes: Sequence[str]
) -> tuple[list[str], str]:
    """Return the ids of models by name and file, and a key; a name's files are its versions."""
    settings = Settings(data_dir=folder / "data")
    settings.data_dir.mkdir(parents=True)
    store = open_store(settings.storage_url, settings.storage)
    engine = create_database(settings.database_url)
    upgrade(engine)
    sessions = create_sessions(engine)
    _row, key = create_key(sessions, "default", "benchmark", scopes)
    versions: Counter[str] = Counter()
    ids = []
    for name, onnx in models:
        versions[name] += 1
        ids.append(insert_model(sessions, name, str(versions[name]), onnx, store.put_file(onnx)))
    engine.dispose()
    return ids, key


def insert_model(
    sessions: Sessions,
    name: str,
    version: str,
    onnx: Path,
    sha256: str,
    tenant: str = "default",
) -> str:
    """Insert a ready model, as a job would; return its id."""
    with sessions.begin() as session:
        row = ModelRow(
            id=new_id("mdl"),
            tenant=tenant,
            name=name,
            version=version,
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
    return row.id
