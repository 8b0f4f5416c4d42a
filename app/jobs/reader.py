"""Coalesced reads of jobs for polling clients: reads requested during a query share the next one.

A read waits at most one query longer, and never returns a row older than the request.
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
    """Reader that runs one query at a time for all clients."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._turn = asyncio.Lock()
        self._next = _Batch()

    async def read(self, job_id: str) -> JobRow | None:
        """Return a job's current row, or None."""
        batch = self._next
        batch.ids.add(job_id)
        if batch.task is None:
            batch.task = asyncio.create_task(self._read(batch))
        # Shielded: a client that hangs up must not cancel the read for the others.
        rows = await asyncio.shield(batch.task)
        return rows.get(job_id)

    async def _read(self, batch: _Batch) -> Mapping[str, JobRow]:
        async with self._turn:
            self._next = _Batch()  # later callers need a later query, or they might miss a change
            return await run_in_threadpool(self._fetch, batch.ids)

    def _fetch(self, ids: Collection[str]) -> Mapping[str, JobRow]:
        with reading(self._sessions) as session:
            rows = session.scalars(select(JobRow).where(JobRow.id.in_(ids))).all()
        return {row.id: row for row in rows}
