"""``/v1/jobs:compare``: up to four jobs side by side."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlalchemy import select

from app.contracts.errors import ErrorDetail, InvalidInputError
from app.dependencies import ContextDep, PrincipalDep
from app.http.problems import RESPONSES
from app.jobs.service import find
from app.records.database import reading
from app.records.stored import Network, summary_of
from app.records.tables import DatasetRow, JobRow, ModelRow
from app.text import Line

router = APIRouter(prefix="/v1", tags=["jobs"], responses=RESPONSES)

_MOST = 4

Ids = Annotated[
    Sequence[Annotated[Line, Field(max_length=64)]],
    Query(alias="job", max_length=_MOST, description="Ids of the jobs."),
]


class ComparedJob(BaseModel):
    """A job's result in numbers. Shares are relative to its dense network."""

    job: str
    name: str | None
    status: str
    goal: str | None
    model: str | None = Field(description="Name of the model that it pruned.")
    dataset: str | None = Field(description="Name of its data set.")
    verdict: str | None = Field(description="ready, uncertain or not_ready.")
    verdict_text: str | None
    metric: str | None = Field(description="Name of the metric.")
    value: float | None = Field(description="Metric of the retrained network.")
    interval: tuple[float, float] | None = Field(description="95 % interval of the value.")
    dense_value: float | None
    macs_share: float | None
    params_share: float | None
    speedup: float | None = Field(description="Measured speed relative to the dense network.")
    speedup_interval: tuple[float, float] | None
    seconds_run: float


class JobComparison(BaseModel):
    """Jobs side by side, and where their configs differ."""

    object: str = "comparison"
    jobs: list[ComparedJob]
    differences: dict[str, list[Any]] = Field(
        description="Values of the jobs in their order, by JSON pointer into the config."
    )


@router.get("/jobs:compare")
def compare(context: ContextDep, principal: PrincipalDep, ids: Ids = ()) -> JobComparison:
    """Compare up to four jobs: results, and differences of their configs."""
    principal.require("jobs:read")
    if not ids or len(set(ids)) < len(ids):
        message = f"a comparison takes 1 to {_MOST} different jobs in 'job'"
        raise InvalidInputError(message, details=[ErrorDetail("/job", "are not different jobs")])
    with reading(context.sessions) as session:
        rows = [find(session, principal.tenant, job_id) for job_id in ids]
        names: dict[str | None, str] = {}
        table: type[ModelRow | DatasetRow]
        for table, wanted in (
            (ModelRow, {row.model_id for row in rows}),
            (DatasetRow, {row.dataset_id for row in rows}),
        ):
            query = select(table.id, table.name).where(table.id.in_(wanted))
            names |= {row.id: row.name for row in session.execute(query)}
    return JobComparison(
        jobs=[_show(row, names) for row in rows],
        differences=differences([row.resolved or {} for row in rows]),
    )


def differences(configs: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return the values in which configs differ, by JSON pointer; None: the config has none."""
    flat = [dict(_leaves(config)) for config in configs]
    pointers = list(dict.fromkeys(pointer for each in flat for pointer in each))
    found = {pointer: [each.get(pointer) for each in flat] for pointer in pointers}
    return {
        pointer: values for pointer, values in found.items() if any(v != values[0] for v in values)
    }


def _leaves(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, part in value.items():
        pointer = f"{prefix}/{name.replace('~', '~0').replace('/', '~1')}"
        found += _leaves(part, pointer) if isinstance(part, dict) and part else [(pointer, part)]
    return found


def _show(row: JobRow, names: Mapping[str | None, str]) -> ComparedJob:
    summary = summary_of(row)
    dense, retrained = summary.dense, summary.retrained
    speed = summary.speedups[0] if summary.speedups else None
    verdict = summary.verdict
    after = None if retrained is None else retrained.measured(summary.metric)
    before = None if dense is None else dense.measured(summary.metric)
    return ComparedJob(
        job=row.id,
        name=row.name,
        status=row.state,
        goal=row.goal,
        model=names.get(row.model_id),
        dataset=names.get(row.dataset_id),
        verdict=None if verdict is None else verdict.status,
        verdict_text=None if verdict is None else verdict.text,
        metric=None if after is None or after.value is None else summary.metric,
        value=None if after is None else after.value,
        interval=None if after is None else after.interval,
        dense_value=None if before is None else before.value,
        macs_share=_share(retrained, dense, "macs"),
        params_share=_share(retrained, dense, "num_parameters"),
        speedup=None if speed is None else speed.ratio,
        speedup_interval=None if speed is None else (speed.low, speed.high),
        seconds_run=round(row.seconds_run, 3),
    )


def _share(part: Network | None, whole: Network | None, name: str) -> float | None:
    if part is None or whole is None or not getattr(whole, name):
        return None
    return float(getattr(part, name) / getattr(whole, name))
