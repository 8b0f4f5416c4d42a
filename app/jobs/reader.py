"""Reading jobs for many who poll: those asked for while one query runs share the next.

Nobody waits longer for that than a query takes, and no answer is older than its question.
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from fastapi.concurrency import run_in_threadpool
from sqlalchemy import select

from app.records.database import Sessions, reading
from app.records.tables import JobRow


@dataclass
class _Batch:
    ids: set[str] = field(default_factory=set)
    task: asyncio.Task[Mapping[str, JobRow]] | None = None


class JobReader:
    """One query at a time, for everybody who asks."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._turn = asyncio.Lock()
        self._next = _Batch()

    async def read(self, job_id: str) -> JobRow | None:
        """Return a job as it is now, or None if there is none."""
        batch = self._next
        batch.ids.add(job_id)
        if batch.task is None:
            batch.task = asyncio.create_task(self._read(batch))
        # Shielded: one client that hangs up must not take the answer from the others.
        rows = await asyncio.shield(batch.task)
        return rows.get(job_id)

    async def _read(self, batch: _Batch) -> Mapping[str, JobRow]:
        async with self._turn:
            self._next = _Batch()  # whoever asks from here on might miss a change otherwise
            return await run_in_threadpool(self._fetch, batch.ids)

    def _fetch(self, ids: Collection[str]) -> Mapping[str, JobRow]:
        with reading(self._sessions) as session:
            rows = session.scalars(select(JobRow).where(JobRow.id.in_(ids))).all()
        return {row.id: row for row in rows}
