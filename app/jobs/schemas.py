"""Request and response schemas of jobs."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from app.contracts.goals import GOALS, GoalName, goal_name
from app.contracts.layers import LayerSummary, PlanSummary
from app.contracts.report import Finding
from app.contracts.spec import PruneConfig
from app.contracts.webhook import WebhookSpec
from app.jobs.lines import Standing
from app.models.schemas import Metadata
from app.paging import to_time
from app.records.tables import ArtifactRow, EventRow, JobRow
from app.tags import Tags
from app.text import Line, NameText

JobName = Annotated[NameText, Field(min_length=1, max_length=200)]


class JobCreate(BaseModel):
    """A pruning job. Only ``model`` is required; the config's defaults work."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "model": "mdl_01JD0000000000000000000000",
                    "dataset": "ds_01JD0000000000000000000000",
                    "config": {"selection": {"mode": "budget", "macs": 0.5, "round_to": 16}},
                }
            ]
        },
    )

    model: Line = Field(
        max_length=300,
        description="A model's id; or its name, which means the newest upload; or name@version.",
    )
    dataset: Line | None = Field(
        default=None,
        max_length=200,
        description="A data set's id or name; without one, no retraining.",
    )
    goal: Annotated[GoalName | None, BeforeValidator(goal_name)] = Field(
        default=None,
        description="What to aim at, in place of `config`; `/v1/goals` says what each one does.",
    )
    config: PruneConfig = PruneConfig()
    name: JobName | None = Field(default=None, description="Your name for the job.")
    tags: Tags = ()
    metadata: Metadata = Field(default_factory=dict, max_length=50)
    start_within_seconds: float | None = Field(
        default=None,
        gt=0,
        le=31_536_000,
        description="Seconds after which a job that has not started expires.",
    )
    time_limit_seconds: float | None = Field(
        default=None, gt=0, description="Longest run in seconds, over all attempts."
    )
    max_attempts: int | None = Field(
        default=None,
        ge=1,
        description="Most attempts in a row without a new checkpoint, when workers are lost.",
    )
    webhook: WebhookSpec | None = Field(
        default=None, description="Endpoint notified about the job."
    )

    @model_validator(mode="after")
    def _goal_stands_for_config(self) -> Self:
        if self.goal is not None:
            if self.config.model_fields_set:
                raise ValueError("has both 'goal' and 'config': a goal stands for a config")
            self.config = PruneConfig.model_validate(
                next(goal.config for goal in GOALS if goal.name == self.goal)
            )
        return self


class JobPatch(BaseModel):
    """Fields that can be changed, also of an ended job."""

    model_config = ConfigDict(extra="forbid")

    name: JobName | None = Field(default=None, description="null removes the name.")
    tags: Tags = ()
    metadata: Metadata = Field(default_factory=dict, max_length=50)


class Webhook(BaseModel):
    """Webhook of a job, without its secret."""

    url: str
    events: list[str]


class Artifact(BaseModel):
    """One artifact of a job."""

    id: str
    object: Literal["artifact"] = "artifact"
    job: str
    name: str
    media_type: str
    sha256: str
    num_bytes: int
    created_at: datetime | None
    urls: dict[str, str]


class Event(BaseModel):
    """Event of a job; numbers have no gaps."""

    object: Literal["event"] = "event"
    number: int
    type: str
    data: dict[str, Any]
    created_at: datetime | None


class JobLayers(BaseModel):
    """A job's effect on each layer: widths, and saliency curves thinned for drawing."""

    object: Literal["layers"] = "layers"
    job: str
    event: int = Field(description="The number of the event that holds this summary.")
    criterion: str = Field(description="Criterion that scored the filters.")
    layers: tuple[LayerSummary, ...] = Field(description="Layers in the network's order.")


class Job(BaseModel):
    """A pruning job and its state."""

    id: str
    object: Literal["job"] = "job"
    name: str | None
    tags: list[str]
    status: str
    stage: str | None
    progress: dict[str, Any] | None = Field(
        description="fraction, step, num_steps, message; eta_seconds until the job ends, "
        "estimated from its latest epochs (null while unknown); elapsed_seconds "
        "since this attempt began."
    )
    attempt: int
    max_attempts: int
    queue_position: int | None = Field(
        description="Jobs ahead of this one while it is queued, if no more are posted. Exact with "
        "one worker; an estimate with several, or behind hundreds of jobs."
    )
    estimated_wait_seconds: float | None = Field(
        description="Estimated seconds until it starts, from the remaining time of running jobs "
        "and the durations of jobs like those ahead; null: unknown."
    )
    model: str | None
    dataset: str | None
    sweep: str | None = Field(description="The sweep that the job belongs to.")
    goal: str | None = Field(description="The goal that the config stands for.")
    config: dict[str, Any] = Field(description="Config as sent, or that of the goal.")
    resolved: dict[str, Any] | None = Field(description="Config with every default filled in.")
    result: dict[str, Any] | None
    error: dict[str, Any] | None = Field(description="code, message, stage, retryable, hint.")
    warnings: list[str] = Field(description="Warnings, including the findings.")
    findings: list[Finding] = Field(
        description="Machine-readable warnings: code, severity, message."
    )
    metadata: Metadata
    webhook: Webhook | None
    created_at: datetime | None
    queued_at: datetime | None
    started_at: datetime | None
    pause_requested_at: datetime | None
    paused_at: datetime | None
    cancel_requested_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None = Field(description="When it expires if it has not started.")
    time_limit_seconds: float | None
    seconds_run: float = Field(description="Seconds of running in finished attempts.")
    num_events: int = Field(description="The number of the newest event.")
    urls: dict[str, str]


def to_job(row: JobRow, standing: Standing | None = None) -> Job:
    """Return the API's representation of a row."""
    base = f"/v1/jobs/{row.id}"
    return Job(
        id=row.id,
        name=row.name,
        tags=list(row.tags),
        status=row.state,
        stage=row.stage,
        progress=row.progress,
        attempt=row.attempt,
        max_attempts=row.max_attempts,
        queue_position=standing.position if standing is not None else None,
        estimated_wait_seconds=standing.wait_seconds if standing is not None else None,
        model=row.model_id,
        dataset=row.dataset_id,
        sweep=row.sweep_id,
        goal=row.goal,
        config=row.config,
        resolved=row.resolved,
        result=row.result,
        error=row.error,
        warnings=[w if isinstance(w, str) else w["message"] for w in row.warnings],
        findings=[Finding.model_validate(w) for w in row.warnings if isinstance(w, dict)],
        metadata=row.meta,
        webhook=_to_webhook(row),
        created_at=to_time(row.created_at),
        queued_at=to_time(row.queued_at),
        started_at=to_time(row.started_at),
        pause_requested_at=to_time(row.pause_requested_at),
        paused_at=to_time(row.paused_at),
        cancel_requested_at=to_time(row.cancel_requested_at),
        finished_at=to_time(row.finished_at),
        expires_at=to_time(row.expires_at),
        time_limit_seconds=row.time_limit_seconds,
        seconds_run=round(row.seconds_run, 3),
        num_events=row.num_events,
        urls={
            "self": base,
            "events": f"{base}/events",
            "artifacts": f"{base}/artifacts",
            "layers": f"{base}/layers",
            "cancel": f"{base}/cancel",
            "pause": f"{base}/pause",
            "resume": f"{base}/resume",
            "retry": f"{base}/retry",
            "restore": f"{base}/restore",
        },
    )


def _to_webhook(row: JobRow) -> Webhook | None:
    if row.webhook is None:
        return None
    return Webhook(url=row.webhook["url"], events=row.webhook["events"])


def to_event(row: EventRow) -> Event:
    """Return the API's representation of a row."""
    return Event(
        number=row.number, type=row.type, data=row.data, created_at=to_time(row.created_at)
    )


def to_layers(row: EventRow) -> JobLayers:
    """Return the plan in an event."""
    plan = PlanSummary.model_validate(row.data)
    return JobLayers(job=row.job_id, event=row.number, criterion=plan.criterion, layers=plan.layers)


def to_artifact(row: ArtifactRow) -> Artifact:
    """Return the API's representation of a row."""
    base = f"/v1/artifacts/{row.id}"
    return Artifact(
        id=row.id,
        job=row.job_id,
        name=row.name,
        media_type=row.media_type,
        sha256=row.sha256,
        num_bytes=row.num_bytes,
        created_at=to_time(row.created_at),
        urls={"self": base, "content": f"{base}/content"},
    )
