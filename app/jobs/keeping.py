"""What a user does with jobs after they ran: name, tag, delete and restore them."""

from app.contracts.errors import ConflictError, NotFoundError
from app.contracts.job import JobKind, JobState
from app.dependencies import Context
from app.jobs.schemas import JobPatch
from app.jobs.service import find
from app.records.deletion import find_deleted, hide
from app.records.jobs import get_job
from app.records.tables import JobRow

_COLUMNS = {"name": "name", "tags": "tags", "metadata": "meta"}


def change(context: Context, tenant: str, job_id: str, patch: JobPatch) -> JobRow:
    """Change the given fields of a job."""
    with context.sessions.begin() as session:
        find(session, tenant, job_id)
        row = get_job(session, job_id)
        for field, value in patch.model_dump(mode="json", exclude_unset=True).items():
            setattr(row, _COLUMNS[field], value)
    return row


def delete(context: Context, tenant: str, job_id: str, *, is_permanent: bool) -> None:
    """Hide an ended job until it is removed, or delete it for good.

    Raises:
        ConflictError: The job has not ended.
    """
    with context.sessions.begin() as session:
        find(session, tenant, job_id)
        row = get_job(session, job_id)
        if not JobState(row.state).is_final:
            raise ConflictError(f"job {job_id} is {row.state}: cancel it before you delete it")
        hide(session, row, is_permanent=is_permanent)


def restore(context: Context, tenant: str, job_id: str) -> JobRow:
    """Undo the deletion of a job.

    Raises:
        NotFoundError: There is no such job, or it was deleted too long ago.
    """
    seconds = context.settings.retention.undo_seconds
    with context.sessions.begin() as session:
        row = find_deleted(session, JobRow, tenant, "job", job_id, seconds)
        if row.kind != JobKind.PRUNE:
            raise NotFoundError(f"there is no job {job_id[:64]!r}")
        row.deleted_at = None
    return row
