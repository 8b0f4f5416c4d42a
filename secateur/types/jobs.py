"""Jobs, their events, files and plans."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from secateur.types.base import FINAL_STATUSES, Answer, Failure
from secateur.types.results import Finding, JobResult
from secateur.types.tables import Row, as_html, as_text


class Progress(Answer):
    """The progress of a running job; fraction and seconds refer to the whole job."""

    fraction: float
    step: int = 0
    num_steps: int = 0
    message: str = ""
    eta_seconds: float | None = None
    elapsed_seconds: float | None = None


class Webhook(Answer):
    """A job's webhook, without its secret."""

    url: str
    events: list[str]


class JobData(Answer):
    """A pruning job as the service describes it: the data of `Job` and `AsyncJob`."""

    id: str
    object: Literal["job"] = "job"
    name: str | None = None
    tags: list[str] = Field(default_factory=list)
    status: str
    stage: str | None
    progress: Progress | None
    attempt: int
    max_attempts: int
    queue_position: int | None
    estimated_wait_seconds: float | None
    model: str | None
    dataset: str | None
    sweep: str | None
    goal: str | None = None
    config: dict[str, Any]
    resolved: dict[str, Any] | None
    result: JobResult | None
    error: Failure | None
    warnings: list[str]
    findings: list[Finding] = Field(default_factory=list)
    metadata: dict[str, str]
    webhook: Webhook | None
    created_at: datetime | None
    queued_at: datetime | None
    started_at: datetime | None
    pause_requested_at: datetime | None
    paused_at: datetime | None
    cancel_requested_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    time_limit_seconds: float | None
    seconds_run: float
    num_events: int = 0
    urls: dict[str, str]

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self.status in FINAL_STATUSES


class Artifact(Answer):
    """A file that a job produced."""

    id: str
    object: Literal["artifact"] = "artifact"
    job: str
    name: str
    media_type: str
    sha256: str
    num_bytes: int
    created_at: datetime | None
    urls: dict[str, str]


class Event(Answer):
    """An event of a job; the numbers of a job's events have no gaps."""

    object: Literal["event"] = "event"
    number: int
    type: str
    data: dict[str, Any]
    created_at: datetime | None


class Share(Answer):
    """A link that shows a job's report without a key."""

    id: str
    object: Literal["share"] = "share"
    job: str
    state: Literal["valid", "expired", "revoked"]
    created_by: str | None
    created_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None


class NewShare(Share):
    """A link that was just created; `url` is not shown again."""

    url: str


class ComparedJob(Answer):
    """A job's result in numbers. Shares are relative to its dense network."""

    job: str
    name: str | None
    status: str
    goal: str | None
    model: str | None
    dataset: str | None
    verdict: str | None
    verdict_text: str | None
    metric: str | None
    value: float | None
    interval: tuple[float, float] | None
    dense_value: float | None
    macs_share: float | None
    params_share: float | None
    speedup: float | None
    speedup_interval: tuple[float, float] | None
    seconds_run: float


class JobComparison(Answer):
    """Jobs side by side, and the values in which their configs differ, by JSON pointer."""

    object: str = "comparison"
    jobs: list[ComparedJob]
    differences: dict[str, list[Any]]


class PlannedQuality(Answer):
    """Quality of a planned network that is repaired and not trained."""

    metric: str
    dense: float | None
    repaired: float | None
    interval: tuple[float, float] | None = None
    num_samples: int


class PlannedTarget(Answer):
    """Predicted latency of a planned network on another device."""

    id: str
    name: str
    device: str
    runtime: str
    runtime_version: str
    num_threads: int
    batch_size: int
    precision: str
    dense_seconds: float
    is_dense_measured: bool
    predicted_seconds: float
    predicted: float


class Plan(Answer):
    """What a pruning job would keep."""

    object: str = "plan"
    config: dict[str, Any]
    fingerprint: str
    dense: dict[str, int]
    pruned: dict[str, int]
    left: dict[str, float]
    groups: list[dict[str, Any]]
    criteria_agreement: dict[str, float]
    latency_trials: list[dict[str, float]]
    repair: Literal["reconstruct", "fold", "none"] | None = None
    quality: PlannedQuality | None = None
    target: PlannedTarget | None = None
    warnings: list[str]
    findings: list[Finding] = Field(default_factory=list)

    def __str__(self) -> str:
        """Return the plan as a table: sizes, then the width of every layer."""
        return as_text(self._rows())

    def _repr_html_(self) -> str:
        return as_html(self._rows())

    def _rows(self) -> list[Row]:
        """Return the plan as rows of a table, the first of which is the head."""
        rows: list[Row] = [("", "dense", "pruned", "left")]
        for name, title in (("macs", "MACs"), ("num_parameters", "parameters")):
            left = f"{self.left[name]:.1%}"
            rows.append((title, f"{self.dense[name]:,}", f"{self.pruned[name]:,}", left))
        for group in self.groups:
            before, after = group["num_groups"], group["num_kept"]
            rows.append((group["name"], str(before), str(after), f"{after / max(1, before):.0%}"))
        return rows
