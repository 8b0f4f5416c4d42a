"""Find the objects that rows refer to. Every column that holds a hash must be listed here."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Select, exists, or_, select
from sqlalchemy.orm import Session

from app.contracts.job import JobState
from app.contracts.tasks import QUEUES
from app.records.database import current_time
from app.records.tables import ArtifactRow, DatasetRow, JobRow, LatenciesRow, ModelRow

_LIVE = [state for state in JobState if not state.is_final]


def find_referenced(session: Session, hashes: Collection[str], undo_seconds: float = 0) -> set[str]:
    """Return the subset of ``hashes`` that rows refer to.

    Objects of deleted models and data sets count while an unfinished job uses them, or the deletion
    can be undone: for ``undo_seconds``. Latencies are not deleted while such a job uses them.
    Artifacts count for ever, checkpoints until their job ends.
    """
    undone_after = current_time(session) - undo_seconds
    queries: list[Select[Any]] = [
        select(ArtifactRow.sha256).where(ArtifactRow.sha256.in_(hashes)),
        select(DatasetRow.sha256).where(
            DatasetRow.sha256.in_(hashes),
            or_(
                DatasetRow.deleted_at.is_(None),
                DatasetRow.deleted_at > undone_after,
                exists().where(JobRow.dataset_id == DatasetRow.id, JobRow.state.in_(_LIVE)),
            ),
        ),
        select(LatenciesRow.sha256).where(
            LatenciesRow.sha256.in_(hashes),
            or_(LatenciesRow.deleted_at.is_(None), LatenciesRow.deleted_at > undone_after),
        ),
    ]
    for column in (ModelRow.sha256, ModelRow.onnx_sha256, ModelRow.int8_sha256):
        is_used = exists().where(JobRow.model_id == ModelRow.id, JobRow.state.in_(_LIVE))
        queries.append(
            select(column).where(
                column.in_(hashes),
                or_(ModelRow.deleted_at.is_(None), ModelRow.deleted_at > undone_after, is_used),
            )
        )
    found = {sha256 for query in queries for sha256 in session.scalars(query)}
    return found | (_in_checkpoints(session) & set(hashes))


def _in_checkpoints(session: Session) -> set[str]:
    query = select(JobRow.checkpoint).where(
        JobRow.queue.in_(QUEUES),  # all queues: makes the query use the index on queue and state
        JobRow.state.in_(_LIVE),
        JobRow.checkpoint.is_not(None),
    )
    return {
        sha256
        for checkpoint in session.scalars(query)
        if checkpoint is not None
        for sha256 in checkpoint.get("files", {}).values()
    }
