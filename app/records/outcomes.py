"""Write the results of a job as rows, in the transaction that ends it (`leases.finish`)."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.contracts.ids import new_id
from app.contracts.job import JobKind
from app.records.database import current_time
from app.records.jobs import READY, release_waiting
from app.records.names import next_version
from app.records.stored import summary_of_dataset
from app.records.tables import ArtifactRow, DatasetRow, JobRow, ModelRow


@dataclass(frozen=True)
class StoredFile:
    """One output file in the object store."""

    name: str
    media_type: str
    sha256: str
    num_bytes: int


@dataclass(frozen=True)
class Outcome:
    """Results of a job's process.

    Attributes:
        result: Result for the job object.
        report: Report for the model or data set.
        files: Output files, already in the object store.
        onnx: Name of the file that is served.
        program: Name of the new model's ``.pt2``.
        int8: Name of the file that is served as variant int8.
    """

    result: dict[str, Any]
    report: dict[str, Any]
    files: tuple[StoredFile, ...]
    onnx: str | None
    program: str | None
    int8: str | None = None

    def sha256(self, name: str | None) -> str | None:
        """Return the hash of a file by name."""
        return next((file.sha256 for file in self.files if file.name == name), None)


def store_intake(session: Session, job: JobRow, outcome: Outcome) -> None:
    """Write a verdict to its model or data set, and release the jobs that waited for it."""
    row: ModelRow | DatasetRow | None
    if job.kind == JobKind.INTAKE_MODEL:
        row = model = session.get(ModelRow, job.model_id)
        if model is not None:
            model.report = outcome.report
            model.onnx_sha256 = outcome.sha256(outcome.onnx)
    else:
        row = dataset = session.get(DatasetRow, job.dataset_id)
        if dataset is not None:
            dataset.summary = {n: v for n, v in outcome.report.items() if n != "examples"}
            dataset.examples = outcome.report.get("examples", [])
            dataset.preprocess = outcome.report.get("preprocess", dataset.preprocess)
    if row is not None:
        row.status = READY
        release_waiting(session, row)


def store_pruned(session: Session, job: JobRow, outcome: Outcome) -> dict[str, Any]:
    """Insert the artifacts and the new version of the model; return the job's result."""
    now = current_time(session)
    artifacts = []
    for file in outcome.files:
        artifact = ArtifactRow(
            id=new_id("art"),
            tenant=job.tenant,
            job_id=job.id,
            name=file.name,
            media_type=file.media_type,
            sha256=file.sha256,
            num_bytes=file.num_bytes,
            created_at=now,
        )
        session.add(artifact)
        artifacts.append({"id": artifact.id, **vars(file)})
    parent = session.get_one(ModelRow, job.model_id)
    dataset = session.get(DatasetRow, job.dataset_id) if job.dataset_id is not None else None
    model = _pruned_model(session, job, parent, dataset, outcome, now)
    session.add(model)
    return {
        **outcome.result,
        "model": model.id,
        "version": model.version,
        "infer_url": f"/v1/models/{model.id}/infer",
        "artifacts": artifacts,
    }


def _pruned_model(  # the parts of a row
    session: Session,
    job: JobRow,
    parent: ModelRow,
    dataset: DatasetRow | None,
    outcome: Outcome,
    now: float,
) -> ModelRow:
    program = outcome.sha256(outcome.program) or outcome.sha256(outcome.onnx)
    assert program is not None  # noqa: S101  # the served file always exists
    stored = next(file for file in outcome.files if file.sha256 == program)
    names = summary_of_dataset(dataset).class_names if dataset is not None else None
    return ModelRow(
        id=new_id("mdl"),
        tenant=job.tenant,
        name=parent.name,
        version=next_version(session, job.tenant, parent.name),
        status=READY,
        format=stored.name.rpartition(".")[2],
        architecture=None,
        filename=stored.name,
        sha256=program,
        num_bytes=stored.num_bytes,
        onnx_sha256=outcome.sha256(outcome.onnx),
        int8_sha256=outcome.sha256(outcome.int8),
        parent_id=parent.id,
        job_id=job.id,
        preprocess=dataset.preprocess if dataset is not None else parent.preprocess,
        class_names=names if names is not None else parent.class_names,
        report=outcome.report,
        error=None,
        meta={},
        created_at=now,
        deleted_at=None,
    )
