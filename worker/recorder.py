"""Write the messages of a job's process to its row and events, about once a second."""

import time
from collections.abc import Sequence
from typing import Any

import structlog

from app.contracts.job import Stage
from app.records import leases
from app.records.database import Sessions
from app.records.events import PLAN
from app.records.leases import Claim
from app.records.tables import JobWarning
from worker.messages import Message, Metric, Planned, Progress, Saved, StageStarted, Warned
from worker.retry import DISCONNECTED

log = structlog.get_logger(__name__)

_RECORD_SECONDS = 1.0
_EVENT_TYPES: dict[type[object], str] = {
    StageStarted: "stage.started",
    Progress: "progress",
    Metric: "metric",
    Planned: PLAN,
    Warned: "warning",
}


class Recorder:
    """Buffers and writes the messages of one attempt.

    Attributes:
        stage: The last stage that began.
    """

    def __init__(self, sessions: Sessions, claim: Claim) -> None:
        self.stage: Stage | None = None
        self._sessions, self._claim = sessions, claim
        self._pending: list[Message] = []
        self._written_at = 0.0

    def add(self, messages: Sequence[Message]) -> None:
        """Buffer messages; write them after a second, or when a stage begins.

        While the database is unreachable messages stay buffered, and training continues.
        """
        self._pending += [m for m in messages if not isinstance(m, Saved)]
        for message in messages:
            if isinstance(message, StageStarted):
                self.stage = message.stage
        is_due = time.monotonic() - self._written_at >= _RECORD_SECONDS
        is_new_stage = any(isinstance(message, StageStarted) for message in messages)
        if self._pending and (is_due or is_new_stage):
            try:
                self.flush()
            except DISCONNECTED:
                log.warning("job.events_wait", job_id=self._claim.job_id, exc_info=True)

    def flush(self) -> None:
        """Write the buffered messages; they stay buffered if the write fails."""
        if not self._pending:
            return
        self._written_at = time.monotonic()
        pending = list(self._pending)
        progress = [m for m in pending if isinstance(m, Progress)]
        events = [
            (_EVENT_TYPES[type(m)], _event_data(m))
            for m in pending
            if not isinstance(m, Progress) or m is progress[-1]
        ]
        with self._sessions.begin() as session:
            leases.record(
                session,
                self._claim,
                events,
                stage=self.stage,
                progress=progress[-1].model_dump(exclude={"type"}) if progress else None,
                warnings=[_warning(m) for m in pending if isinstance(m, Warned)],
                withdrawn=[m.replaces for m in pending if isinstance(m, Warned) and m.replaces],
            )
        self._pending = self._pending[len(pending) :]


def _warning(message: Warned) -> JobWarning:
    """Return the warning as the job's row stores it: text, or a finding of the report."""
    if message.code is None:
        return message.message
    return message.model_dump(include={"code", "severity", "message"})


def _event_data(message: Message) -> dict[str, Any]:
    if isinstance(message, Metric):
        return message.data
    if isinstance(message, Planned):
        return message.plan.model_dump(mode="json")
    return message.model_dump(mode="json", exclude={"type", "replaces"})
