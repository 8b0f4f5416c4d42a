"""Database tables: the source of truth for models, data sets, jobs, events, artifacts and keys.

Times are seconds since the epoch by the *database's* clock (`database.database_now`), so workers on
machines with different clocks agree about leases. JSON columns hold public values only, except
``JobRow.webhook``: its secret must not appear in responses or logs.
"""

import hashlib
from typing import Any

from sqlalchemy import JSON, BigInteger, Double, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Json = dict[str, Any]


# A warning: text, or a finding in the format of the report (code, severity, message).
JobWarning = str | dict[str, Any]


_WORKER_ID_CHARACTERS = 12


def public_worker_id(name: str) -> str:
    """Return the id that users see for the owner of a lease."""
    return f"wrk_{hashlib.sha256(name.encode()).hexdigest()[:_WORKER_ID_CHARACTERS]}"


class Base(DeclarativeBase):
    """Declarative base; migrations are compared with its metadata."""

    type_annotation_map = {  # noqa: RUF012  # SQLAlchemy's protocol
        Json: JSON(none_as_null=True),
        list[str]: JSON(none_as_null=True),
        list[Json]: JSON(none_as_null=True),
        dict[str, int]: JSON(none_as_null=True),
        float: Double(),
        str: String(255),
    }


class ApiKeyRow(Base):
    """A bearer key ``sec_<id>_<secret>``; only the SHA-256 of the secret is kept."""

    __tablename__ = "api_key"

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(index=True)
    name: Mapped[str]
    secret_sha256: Mapped[str]
    scopes: Mapped[list[str]]
    created_at: Mapped[float]
    expires_at: Mapped[float | None]
    revoked_at: Mapped[float | None]
    last_used_at: Mapped[float | None]  # up to about a minute out of date
    replaced_by: Mapped[str | None]  # the key that rotation created


class ShareRow(Base):
    """A link ``shr_<id>_<secret>`` to the report of a job; only a hash of the secret is kept."""

    __tablename__ = "share"
    __table_args__ = (Index("ix_share_tenant", "tenant", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), index=True)
    secret_sha256: Mapped[str]
    created_by: Mapped[str | None]  # id of the key; None in no-auth mode
    created_at: Mapped[float]
    expires_at: Mapped[float]
    revoked_at: Mapped[float | None]


class ModelRow(Base):
    """A model, uploaded or made by a job. Servable when ``ready`` (``onnx_sha256`` is set)."""

    __tablename__ = "model"
    __table_args__ = (
        Index("ix_model_stored", "tenant", "deleted_at", "job_id", "num_bytes"),
        Index("ix_model_tenant_name", "tenant", "name", "version"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(index=True)
    name: Mapped[str]
    version: Mapped[str]
    tags: Mapped[list[str]] = mapped_column(JSON(none_as_null=True), server_default="[]")
    status: Mapped[str]  # validating | ready | rejected
    format: Mapped[str]  # a name of MODEL_FORMATS
    architecture: Mapped[Json | None]  # safetensors only: the network the weights belong to
    filename: Mapped[str | None]
    sha256: Mapped[str] = mapped_column(index=True)
    num_bytes: Mapped[int] = mapped_column(BigInteger)
    onnx_sha256: Mapped[str | None] = mapped_column(index=True)
    int8_sha256: Mapped[str | None] = mapped_column(index=True)  # of the variant int8
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("model.id"))
    job_id: Mapped[str | None] = mapped_column(index=True)
    preprocess: Mapped[Json | None]
    class_names: Mapped[list[str] | None]
    report: Mapped[Json | None]  # the intake verdict
    error: Mapped[Json | None]
    meta: Mapped[Json] = mapped_column("metadata")
    created_at: Mapped[float]
    deleted_at: Mapped[float | None]


class AliasRow(Base):
    """Alias for versions of a model. Each change increments `revision` and extends `history`."""

    __tablename__ = "model_alias"

    tenant: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    targets: Mapped[dict[str, int]]  # weight by version
    revision: Mapped[int] = mapped_column(Integer)
    history: Mapped[list[Json]]  # earlier targets and when they ended, latest first
    created_at: Mapped[float]
    updated_at: Mapped[float]


class DatasetRow(Base):
    """Samples and labels, with their preprocessing."""

    __tablename__ = "dataset"
    __table_args__ = (Index("ix_dataset_stored", "tenant", "deleted_at", "num_bytes"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(index=True)
    name: Mapped[str]
    tags: Mapped[list[str]] = mapped_column(JSON(none_as_null=True), server_default="[]")
    status: Mapped[str]  # validating | ready | rejected
    format: Mapped[str]  # a name of DATASET_FORMATS
    filename: Mapped[str | None]
    sha256: Mapped[str] = mapped_column(index=True)
    num_bytes: Mapped[int] = mapped_column(BigInteger)
    preprocess: Mapped[Json]
    summary: Mapped[Json | None]  # num_samples, sample_shape, num_classes, class_names, splits
    examples: Mapped[list[Json] | None] = mapped_column(deferred=True)  # `contracts.examples`
    error: Mapped[Json | None]
    meta: Mapped[Json] = mapped_column("metadata")
    created_at: Mapped[float]
    deleted_at: Mapped[float | None]


class LatenciesRow(Base):
    """Latencies of layers that a user's device measured (`contracts.latencies`)."""

    __tablename__ = "latencies"
    __table_args__ = (Index("ix_latencies_stored", "tenant", "deleted_at", "num_bytes"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(index=True)
    name: Mapped[str]
    filename: Mapped[str | None]
    sha256: Mapped[str] = mapped_column(index=True)
    num_bytes: Mapped[int] = mapped_column(BigInteger)
    model_id: Mapped[str]  # that was measured; it may be gone
    bench: Mapped[str]  # id of its layers: models with the same layers share it
    summary: Mapped[Json]  # device, runtime, runtime_version, num_threads, batch_size, …
    created_at: Mapped[float]
    deleted_at: Mapped[float | None]


class SweepTableRow(Base):
    """A grid of jobs. Its state is derived from its jobs (`app.sweeps`)."""

    __tablename__ = "sweep"

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(index=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("model.id"))
    dataset_id: Mapped[str | None] = mapped_column(ForeignKey("dataset.id"))
    config: Mapped[Json]
    grid: Mapped[Json]
    meta: Mapped[Json] = mapped_column("metadata")
    created_at: Mapped[float]


class JobRow(Base):
    """A job and its state. Every transition is a guarded update (`records.jobs`)."""

    __tablename__ = "job"
    __table_args__ = (
        Index("ix_job_tenant_kind", "tenant", "kind", "id"),  # lists sort by id, so by time
        Index("ix_job_queue_state", "queue", "state", "tenant", "created_at"),
        Index("ix_job_reported", "tenant", "reported_bytes"),
        Index("ix_job_finished", "queue", "state", "finished_at"),
        Index("ix_job_counted", "queue", "state", "kind", "queued_at"),
        Index("ix_job_created", "created_at"),
        Index("ix_job_deleted", "deleted_at"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    kind: Mapped[str]
    queue: Mapped[str]
    state: Mapped[str]
    stage: Mapped[str | None]
    progress: Mapped[Json | None]  # fraction, step, message, eta_seconds …
    model_id: Mapped[str | None] = mapped_column(ForeignKey("model.id"), index=True)
    dataset_id: Mapped[str | None] = mapped_column(ForeignKey("dataset.id"), index=True)
    sweep_id: Mapped[str | None] = mapped_column(ForeignKey("sweep.id"), index=True)
    sweep_index: Mapped[int | None] = mapped_column(Integer)  # position in the grid, from 0
    sweep_point: Mapped[Json | None]  # grid values by JSON pointer
    name: Mapped[str | None]  # the user's, as are the tags
    tags: Mapped[list[str]] = mapped_column(JSON(none_as_null=True), server_default="[]")
    goal: Mapped[str | None]  # that the config stands for (`contracts.goals`)
    config: Mapped[Json]  # as sent
    resolved: Mapped[Json | None]  # with every default filled in
    result: Mapped[Json | None]
    error: Mapped[Json | None]  # code, message, stage, retryable, hint
    warnings: Mapped[list[JobWarning]] = mapped_column(JSON(none_as_null=True))
    meta: Mapped[Json] = mapped_column("metadata")
    attempt: Mapped[int] = mapped_column(Integer)
    max_attempts: Mapped[int] = mapped_column(Integer)
    num_setbacks: Mapped[int] = mapped_column(Integer, server_default="0")  # `records.setbacks`
    avoided_owners: Mapped[str | None] = mapped_column(Text)  # workers that failed it: " a b "
    lease_owner: Mapped[str | None]
    lease_token: Mapped[int] = mapped_column(BigInteger)  # fencing token: grows with every claim
    lease_expires_at: Mapped[float | None] = mapped_column(index=True)
    num_events: Mapped[int] = mapped_column(Integer)
    reported_bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")  # by its process
    not_before: Mapped[float | None]  # back-off
    rung_at: Mapped[float | None]  # not used: processes of earlier versions write it
    expires_at: Mapped[float | None] = mapped_column(index=True)  # deadline for the first start
    time_limit_seconds: Mapped[float | None]  # running time, over all attempts
    claimed_at: Mapped[float | None]  # start of the current attempt
    seconds_run: Mapped[float] = mapped_column(server_default="0")  # by ended attempts
    batch_divisor: Mapped[int] = mapped_column(Integer, server_default="1")  # after out of memory
    checkpoint: Mapped[Json | None]  # token, files (SHA-256 by name): for resuming
    webhook: Mapped[Json | None]  # url, secret, events
    trace_id: Mapped[str | None]  # from the request that posted it
    request_id: Mapped[str | None]  # of the request that posted it
    created_at: Mapped[float]
    queued_at: Mapped[float | None]
    started_at: Mapped[float | None]
    pause_requested_at: Mapped[float | None]
    paused_at: Mapped[float | None]
    cancel_requested_at: Mapped[float | None]
    finished_at: Mapped[float | None] = mapped_column(index=True)
    deleted_at: Mapped[float | None]  # hidden, and removed after the time for an undo


class WorkerRow(Base):
    """Heartbeat of a worker, for display and wait estimates; leases do not depend on it."""

    __tablename__ = "worker"

    name: Mapped[str] = mapped_column(primary_key=True)  # owner of its leases
    queues: Mapped[list[str]]
    device: Mapped[str]
    num_slots: Mapped[int] = mapped_column(Integer)  # jobs at once
    started_at: Mapped[float]
    seen_at: Mapped[float]
    trouble: Mapped[str | None] = mapped_column(Text)  # why it claims no jobs
    cordoned_at: Mapped[float | None]  # an operator lets it claim no jobs (`levers`)
    drained_at: Mapped[float | None]  # an operator has it hand back its jobs
    ticked_at: Mapped[float | None]  # when it last ran a task of the scheduler
    gpus: Mapped[list[Json]] = mapped_column(JSON(none_as_null=True), server_default="[]")
    targets: Mapped[list[str]] = mapped_column(JSON(none_as_null=True), server_default="[]")

    @property
    def public_id(self) -> str:
        """Id that users see: the name contains the name of the host."""
        return public_worker_id(self.name)

    @property
    def is_claiming(self) -> bool:
        """Whether the worker takes jobs."""
        return self.trouble is None and self.cordoned_at is None


class QueuePauseRow(Base):
    """A queue that an operator paused."""

    __tablename__ = "queue_pause"

    queue: Mapped[str] = mapped_column(primary_key=True)
    paused_at: Mapped[float]


class TurnRow(Base):
    """When a job of a tenant was last claimed from a queue: tenants take turns by it."""

    __tablename__ = "turn"

    queue: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(primary_key=True)
    served_at: Mapped[float]


class QueuedChangeRow(Base):
    """Jobs that entered (positive) or left a queue; written by triggers on `JobRow` (`queued`).

    A migration that copies the table of jobs (on SQLite) must create the triggers of 0023 again.
    """

    __tablename__ = "queued_change"

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    queue: Mapped[str]
    tenant: Mapped[str]
    change: Mapped[int] = mapped_column(Integer)


class ComputeUseRow(Base):
    """Compute time of a tenant on one day, in attempts that have ended."""

    __tablename__ = "compute_use"

    day: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)  # since 1970
    tenant: Mapped[str] = mapped_column(primary_key=True)
    seconds: Mapped[float]


class EventRow(Base):
    """Event of a job, numbered from 1; written in the transaction of the change it reports."""

    __tablename__ = "event"
    __table_args__ = (Index("ix_event_key", "job_id", "key", unique=True),)

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    type: Mapped[str]  # job.queued, job.running, stage.started, progress, metric, warning, …
    data: Mapped[Json]
    key: Mapped[str | None]  # of a message of the job's process, which may be sent again
    created_at: Mapped[float]


class WebhookRow(Base):
    """Delivery of an event to a job's webhook; written in the transaction of the event."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        Index("ix_webhook_delivery_job_event", "job_id", "event_number", unique=True),
        Index("ix_webhook_delivery_due", "state", "not_before"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"))
    event_number: Mapped[int] = mapped_column(Integer)
    state: Mapped[str]  # pending | delivered | failed
    attempt: Mapped[int] = mapped_column(Integer)
    not_before: Mapped[float]
    last_answer: Mapped[str | None]  # HTTP status, or why there was none
    created_at: Mapped[float]
    delivered_at: Mapped[float | None]


class ArtifactRow(Base):
    """Immutable file made by a job."""

    __tablename__ = "artifact"
    __table_args__ = (Index("ix_artifact_stored", "tenant", "num_bytes"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), index=True)
    name: Mapped[str]
    media_type: Mapped[str]
    sha256: Mapped[str] = mapped_column(index=True)
    num_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[float]


class IdempotencyRow(Base):
    """Response to a creating request, stored under the client's idempotency key."""

    __tablename__ = "idempotency"

    tenant: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]  # SHA-256 of method, path and body
    object_id: Mapped[str | None]  # None while in flight
    response: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[float] = mapped_column(index=True)
