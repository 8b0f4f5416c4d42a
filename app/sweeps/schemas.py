"""Request and response schemas of sweeps."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.models.schemas import Metadata
from app.text import Line

Status = Literal["running", "succeeded", "partial", "failed", "cancelled"]


class SweepCreate(BaseModel):
    """Grid over the config, with one job per point."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "model": "mdl_01JD0000000000000000000000",
                    "dataset": "ds_01JD0000000000000000000000",
                    "config": {"selection": {"mode": "budget"}},
                    "grid": {
                        "/selection/macs": [0.5, 0.25],
                        "/criterion/kind": ["l1", "taylor"],
                    },
                }
            ]
        },
    )

    model: Line = Field(
        max_length=300,
        description="A model's id; or its name, which means the newest upload; or name@version.",
    )
    dataset: Line | None = Field(
        default=None, max_length=200, description="A data set's id or name."
    )
    config: dict[str, Any] = Field(default_factory=dict, description="Config shared by all jobs.")
    grid: dict[str, list[Any]] = Field(
        description="Values by JSON pointer into the config; each combination becomes a job."
    )
    metadata: Metadata = Field(default_factory=dict, max_length=50)


class SweepRow(BaseModel):
    """Result of one point. Shares are relative to the dense network."""

    job: str
    status: str
    point: dict[str, Any]
    error: str | None = Field(default=None, description="The failure code.")
    model: str | None = Field(default=None, description="The pruned model.")
    metric: str | None = Field(default=None, description="The name of the compared metric.")
    split: str | None = None
    value: float | None = Field(default=None, description="After retraining.")
    interval: tuple[float, float] | None = Field(
        default=None, description="95 % interval of the value; null: unknown."
    )
    dense_value: float | None = None
    macs: int | None = None
    macs_share: float | None = None
    num_parameters: int | None = None
    params_share: float | None = None
    latency_share: float | None = Field(
        default=None, description="At batch 1, measured alternately."
    )
    latency_interval: tuple[float, float] | None = Field(
        default=None,
        description="95 % interval of the share; if it includes 1, no difference is measurable.",
    )
    was_busy: bool | None = Field(
        default=None, description="Whether latency was measured under load; null: unknown."
    )
    is_pareto_macs: bool = Field(
        default=False, description="No other point is as good with as few MACs."
    )
    is_pareto_latency: bool = False


class Sweep(BaseModel):
    """A grid of jobs; its status is derived from theirs."""

    id: str
    object: Literal["sweep"] = "sweep"
    status: Status
    counts: dict[str, int] = Field(description="Jobs by status.")
    model: str
    dataset: str | None
    config: dict[str, Any]
    grid: dict[str, list[Any]]
    metadata: Metadata
    created_at: datetime | None
    urls: dict[str, str]


class SweepDetail(Sweep):
    """A sweep with its table."""

    table: list[SweepRow]
