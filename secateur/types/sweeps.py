"""Sweeps: jobs for all points of a grid."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from secateur.types.base import Answer


class SweepRow(Answer):
    """The job of one point and its results. Shares are relative to the dense network."""

    job: str
    judging_job: str | None = None
    status: str
    point: dict[str, Any]
    error: str | None = None
    model: str | None = None
    metric: str | None = None
    split: str | None = None
    value: float | None = None
    is_trained: bool | None = None
    repaired_value: float | None = None
    interval: tuple[float, float] | None = None
    dense_value: float | None = None
    macs: int | None = None
    macs_share: float | None = None
    num_parameters: int | None = None
    params_share: float | None = None
    latency_share: float | None = None
    latency_interval: tuple[float, float] | None = None
    was_busy: bool | None = None
    is_pareto_macs: bool = False
    is_pareto_latency: bool = False


class SweepData(Answer):
    """A sweep as the service describes it: the data of `Sweep` and `AsyncSweep`."""

    id: str
    object: Literal["sweep"] = "sweep"
    status: Literal["running", "succeeded", "partial", "failed", "cancelled"]
    counts: dict[str, int]
    model: str
    dataset: str | None
    config: dict[str, Any]
    grid: dict[str, list[Any]]
    metadata: dict[str, str]
    created_at: datetime | None
    urls: dict[str, str]
    train: Literal["front", "all"] = "all"
    table: list[SweepRow] = Field(default_factory=list)

    @property
    def is_final(self) -> bool:
        """Whether all jobs have ended."""
        return self.status != "running"
