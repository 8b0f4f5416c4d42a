"""A job's request made from its rows: each file with its format."""

from pathlib import Path
from typing import Any

import pytest

from app.contracts.job import JobKind
from app.contracts.settings import Settings
from app.contracts.spec import PruneConfig
from app.objects.storage import open_store
from app.records.tables import DatasetRow, JobRow, ModelRow
from worker.job_request import JobRows, make_limits, make_request
from worker.messages import JobRequest
from worker.time_limit import TimeLimit


def job(kind: JobKind, **values: Any) -> JobRow:
    given = {"tenant": "t", "time_limit_seconds": None, "seconds_run": 0.0, "batch_divisor": 1}
    given |= values
    return JobRow(id="job_1", kind=kind, attempt=1, resolved={}, **given)


def made(folder: Path, row: JobRow, **formats: Any) -> JobRequest:
    settings = Settings.model_validate(
        {"data_dir": folder / "data", "worker": {"latency_seconds": 7, "checkpoint_seconds": 8}}
    )
    store = open_store(settings.storage_url, settings.storage)
    files = {}
    for name in ("model", "dataset"):
        (folder / "sent").write_bytes(name.encode())
        files[name] = store.put_file(folder / "sent")
    model = dataset = None
    if "model" in formats:
        given = {"architecture": None, **formats["model"]}
        model = ModelRow(id="mdl_1", name="net", sha256=files["model"], **given)
    if "dataset" in formats:
        preprocess = {"mean": [0.5], "std": [0.5]}
        sha256 = files["dataset"]
        dataset = DatasetRow(
            id="ds_1", name="data", sha256=sha256, format=formats["dataset"], preprocess=preprocess
        )
    (folder / "attempt").mkdir(exist_ok=True)
    rows = JobRows(row, model, dataset)
    time_limit = TimeLimit(60, lambda: False)
    return make_request(
        rows, settings, store, folder / "attempt", folder / "checkpoints", time_limit
    )


def test_weights_keep_their_format_and_architecture(tmp_path: Path) -> None:
    architecture = {"name": "torchvision/resnet18", "num_classes": 7}
    row = job(JobKind.PRUNE, batch_divisor=4)
    request = made(
        tmp_path, row, model={"format": "safetensors", "architecture": architecture}, dataset="tar"
    )
    model, dataset = request.require_model(), request.require_dataset()
    assert (model.format, model.id, model.name) == ("safetensors", "mdl_1", "net")
    assert model.architecture is not None
    assert model.architecture.num_classes == 7
    assert (model.path.read_bytes(), dataset.path.read_bytes()) == (b"model", b"dataset")
    assert (dataset.format, dataset.id, dataset.preprocess.mean) == ("tar", "ds_1", (0.5,))
    assert request.config.retrain.batch_size == PruneConfig().retrain.batch_size // 4
    assert (request.latency_seconds, request.checkpoint_seconds) == (7, 8)
    assert JobRequest.model_validate_json(request.model_dump_json()) == request


def test_an_intake_has_one_file_and_needs_no_gpu(tmp_path: Path) -> None:
    request = made(tmp_path, job(JobKind.INTAKE_DATASET), dataset="npz")
    assert (request.model, request.device, request.time_limit_seconds) == (None, "cpu", None)
    with pytest.raises(ValueError, match="intake_dataset needs a model"):
        request.require_model()


def test_no_tenant_reads_or_spoils_the_cache_of_another(tmp_path: Path) -> None:
    folders = set()
    for tenant in ("a", "b", "../b", "a"):
        row = job(JobKind.INTAKE_DATASET, tenant=tenant)
        request = made(tmp_path, row, dataset="npz")
        assert request.cache_dir is not None
        assert request.cache_dir.parent == tmp_path / "data" / "scratch" / "cache"
        folders.add(request.cache_dir)
    assert len(folders) == 3


def test_spent_time_is_not_granted_again(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    begun = job(JobKind.PRUNE, time_limit_seconds=100.0, seconds_run=30.0)
    limits = make_limits(begun, settings)
    assert limits.time_limit_seconds == 70
    spent = job(JobKind.PRUNE, time_limit_seconds=100.0, seconds_run=130.0)
    assert make_limits(spent, settings).time_limit_seconds == 0
