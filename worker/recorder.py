"""Write the messages of a job's process to its row and events, about once a second.

A write may be repeated after its commit, because the response was lost. So every message has a key:
a number within the attempt or, for what the next attempt reports again, a name within the job.

The process opens untrusted files, so number and size of what it has stored are bounded.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from typing import Any

import structlog

from app.contracts.job import Stage
from app.contracts.settings import OutputSettings
from app.records import leases
from app.records.database import Sessions
from app.records.events import PLAN, Report
from app.records.leases import Claim
from app.records.tables import JobWarning
from worker.message_reader import MessageRefusedError
from worker.messages import Message, Metric, Planned, Progress, Saved, StageStarted, Warned
from worker.retry import DISCONNECTED

log = structlog.get_logger(__name__)

_RECORD_SECONDS = 1.0
_MESSAGES_A_WRITE = 1000  # a transaction has a deadline, also after hours without a database
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

    def __init__(self, sessions: Sessions, claim: Claim, limits: OutputSettings) -> None:
        self.stage: Stage | None = None
        self._sessions, self._claim, self._limits = sessions, claim, limits
        self._num_events = self._num_bytes = self._num_messages = 0
        self._pending: list[tuple[Message, Report]] = []
        self._progress: Progress | None = None
        self._written_at = 0.0

    def add(self, messages: Sequence[Message]) -> None:
        """Buffer messages; write them after a second, or when a stage begins.

        While the database is unreachable messages stay buffered, and training continues.

        Raises:
            MessageRefusedError: There are more messages than the limits allow; those before are
                buffered.
        """
        for message in messages:
            if isinstance(message, Progress):
                self._progress = message  # only the newest is written
            elif not isinstance(message, Saved):
                self._count(message)
                if isinstance(message, StageStarted):
                    self._close_progress()
                    self.stage = message.stage
                self._append(message)
        is_due = time.monotonic() - self._written_at >= _RECORD_SECONDS
        is_new_stage = any(isinstance(message, StageStarted) for message in messages)
        if (self._pending or self._progress) and (is_due or is_new_stage):
            try:
                self.flush()
            except DISCONNECTED:
                log.warning("job.events_wait", job_id=self._claim.job_id, exc_info=True)

    def flush(self) -> None:
        """Write the buffered messages; they stay buffered if the write fails."""
        self._close_progress()
        self._written_at = time.monotonic()
        while part := self._pending[:_MESSAGES_A_WRITE]:
            self._write(part)
            self._pending = self._pending[len(part) :]

    def _write(self, part: Sequence[tuple[Message, Report]]) -> None:
        messages = [message for message, _ in part]
        progress = [m for m in messages if isinstance(m, Progress)]
        with self._sessions.begin() as session:
            leases.record(
                session,
                self._claim,
                [report for _, report in part],
                stage=self.stage,
                progress=progress[-1].model_dump(exclude={"type"}) if progress else None,
                warnings=[_warning(m) for m in messages if isinstance(m, Warned)],
                withdrawn=[m.replaces for m in messages if isinstance(m, Warned) and m.replaces],
            )

    def _append(self, message: Message) -> None:
        self._num_messages += 1
        key = _lasting_key(message) or f"{self._claim.token}.{self._num_messages}"
        report = Report(_EVENT_TYPES[type(message)], _event_data(message), key)
        self._pending.append((message, report))

    def _close_progress(self) -> None:
        """Let the newest progress be written before any later message."""
        if self._progress is not None:
            self._append(self._progress)
            self._progress = None

    def _count(self, message: Message) -> None:
        self._num_events += 1
        if self._num_events > self._limits.events:
            raise MessageRefusedError(
                f"the job's process reported more than {self._limits.events} events"
            )
        self._num_bytes += len(json.dumps(_event_data(message)))
        if self._num_bytes > self._limits.event_bytes:
            raise MessageRefusedError(
                f"the job's process reported events of {self._num_bytes} bytes, at most "
                f"{self._limits.event_bytes} are kept"
            )


def _lasting_key(message: Message) -> str | None:
    """Return the key of a message that every attempt of the job repeats; None for others."""
    if isinstance(message, Metric) and message.key is not None:
        return f"metric.{message.key}"
    if isinstance(message, Warned):
        return f"warning.{hashlib.sha256(message.model_dump_json().encode()).hexdigest()}"
    return None


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
