"""Request and response schemas of sweeps."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.models.schemas import Metadata
from app.text import Line

Train = Literal["auto", "front", "all"]
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
    train: Train = Field(
        default="auto",
        description="Points that are trained. front: every point is repaired and measured, which "
        "takes seconds; those that no other point beats, at the same or fewer MACs, are then "
        "trained in jobs of their own (or at the same or less latency, if the selection measures "
        "it). all: every point is trained. auto: front if criterion, selection or repair vary, "
        "nothing else does but retrain, and every point is repaired with samples and trained.",
    )
    metadata: Metadata = Field(default_factory=dict, max_length=50)


class SweepRow(BaseModel):
    """Result of one point. Shares are relative to the dense network."""

    job: str = Field(description="The training job if there is one, otherwise the judging job.")
    judging_job: str | None = Field(
        default=None,
        description="The job that repaired and measured the point before any was trained; null: "
        "points are not compared before training.",
    )
    status: str = Field(description="Of `job`.")
    point: dict[str, Any]
    error: str | None = Field(default=None, description="The failure code.")
    model: str | None = Field(default=None, description="The pruned model.")
    metric: str | None = Field(default=None, description="The name of the compared metric.")
    split: str | None = None
    value: float | None = Field(
        default=None,
        description="Quality of `model`: after training, or repaired if it is not trained.",
    )
    is_trained: bool | None = Field(
        default=None, description="Whether `model` is the result of training."
    )
    repaired_value: float | None = Field(
        default=None, description="Quality of the repaired network, before any training."
    )
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

    train: Literal["front", "all"] = Field(
        description="Whether every point is trained, or only the Pareto-optimal ones."
    )
    table: list[SweepRow]
