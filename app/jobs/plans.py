"""``POST /v1/jobs:plan``: a preview of a job, computed by a worker and not stored."""

import asyncio
import contextlib
import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from app.contracts.errors import (
    AbandonedError,
    ConflictError,
    ErrorDetail,
    InvalidInputError,
    ServiceError,
    UnavailableError,
)
from app.contracts.job import FAILURES, FailureCode, JobKind, JobState
from app.contracts.report import Finding, PlannedQuality, TargetReport
from app.contracts.spec import AccuracySelection
from app.dependencies import Context, ContextDep, PrincipalDep
from app.http.disconnect import wait_with_client
from app.http.problems import RESPONSES
from app.jobs import service
from app.jobs.routes import parse_job
from app.jobs.schemas import JobCreate
from app.latencies import service as latencies
from app.models import service as models
from app.openapi import reference
from app.records import jobs
from app.records.jobs import NewJob
from app.records.tables import JobRow

router = APIRouter(prefix="/v1", tags=["jobs"], responses=RESPONSES)

_POLL_SECONDS, _MOST_POLL_SECONDS = 0.1, 0.5
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": reference(JobCreate)}},
    }
}


class Plan(BaseModel):
    """Preview of a pruning job's result."""

    object: str = "plan"
    config: dict[str, Any] = Field(description="Config with every default filled in.")
    fingerprint: str = Field(description="SHA-256 of the graph that the plan is for.")
    dense: dict[str, int] = Field(description="MACs and parameters of the dense network.")
    pruned: dict[str, int]
    left: dict[str, float] = Field(description="Pruned relative to dense, under the same names.")
    groups: list[dict[str, Any]] = Field(
        description="As in the report, plus ``kept``: the indices of the remaining channel groups."
    )
    criteria_agreement: dict[str, float]
    latency_trials: list[dict[str, float]]
    repair: Literal["reconstruct", "fold", "none"] | None = Field(
        default=None,
        description="What a job does to the pruned network before it trains. reconstruct: refit "
        "the kept weights from training samples. fold: merge removed filters into similar ones, "
        "without samples. none: nothing, because the config says so, or because there are neither "
        "samples nor BatchNorm.",
    )
    quality: PlannedQuality | None = Field(
        default=None,
        description="Quality of the planned network after repair, without training. Null without "
        "validation samples, with an iterative schedule, or if the repair takes longer than the "
        "worker may spend on it.",
    )
    target: TargetReport | None = Field(
        default=None,
        description="Predicted latency on the device of ``selection.target``; null without one.",
    )
    warnings: list[str]
    findings: list[Finding] = Field(
        default=[], description="Problems of the data set that may make a job fail."
    )


@router.post("/jobs:plan", openapi_extra=_BODY)
async def plan(
    request: Request,
    context: ContextDep,
    principal: PrincipalDep,
    wait: Annotated[float, Query(gt=0, le=600, description="Longest wait in seconds.")] = 60,
) -> Plan:
    """Preview a job. Takes the same body; nothing is pruned or stored."""
    principal.require("jobs:write")
    body, sent = await parse_job(request, context)
    with context.quotas.waiting(principal.tenant):
        job_id = await run_in_threadpool(_start, context, principal.tenant, body, sent)
        try:
            row = await _wait(request, context, job_id, wait)
        except (AbandonedError, UnavailableError):
            await run_in_threadpool(_cancel, context, job_id)
            raise
    await run_in_threadpool(_forget, context, job_id)
    if row.state != JobState.SUCCEEDED or row.result is None:
        raise _failure(row)
    return Plan(**row.result)


async def _wait(request: Request, context: Context, job_id: str, seconds: float) -> JobRow:
    """Return the job of a plan when it has ended.

    Raises:
        AbandonedError: The client has hung up.
        UnavailableError: The plan was not ready in time.
    """
    clock = asyncio.get_running_loop().time
    began = clock()
    end = began + seconds
    while True:
        row = await context.job_reader.read(job_id)  # one query for all that wait
        if row is None:
            raise UnavailableError("the plan was removed before it was ready; try again")
        if JobState(row.state).is_final:
            return row
        if clock() > end:
            raise UnavailableError(
                f"the plan was not ready within {seconds:g} s; wait longer, or post the job itself"
            )
        # Most plans take a second; those that take longer are asked for less often.
        pause = max(_POLL_SECONDS, min(_MOST_POLL_SECONDS, (clock() - began) / 4))
        await wait_with_client(request, pause)


def _start(context: Context, tenant: str, body: JobCreate, sent: dict[str, Any]) -> str:
    if isinstance(body.config.selection, AccuracySelection):
        place = "/config/selection/mode" if body.goal is None else "/goal"
        raise InvalidInputError(
            "selection mode 'accuracy' decides by retraining, but a plan trains nothing: "
            "post the job",
            details=[ErrorDetail(place, "cannot be planned")],
        )
    config, warnings = service.resolve(body)
    worker = context.settings.worker
    with context.sessions.begin() as session:
        body = service.find_inputs(session, tenant, body)
        model = models.find(session, tenant, body.model)
        config = latencies.with_target(session, tenant, config, model)
        context.quotas.refuse_jobs(session, tenant)
        new = NewJob(
            tenant=tenant,
            kind=JobKind.PLAN,
            config=json.loads(json.dumps(service.config_sent(body, sent))),
            resolved=config.model_dump(mode="json"),
            device=worker.device,
            max_attempts=worker.max_attempts,
            model_id=body.model,
            dataset_id=body.dataset,
            warnings=warnings,
        )
        return jobs.create_job(session, new).id


def _cancel(context: Context, job_id: str) -> None:
    with contextlib.suppress(ConflictError), context.sessions.begin() as session:
        jobs.request_cancel(session, job_id)  # it may have ended just now


def _forget(context: Context, job_id: str) -> None:
    with context.sessions.begin() as session:
        jobs.forget_plans(session, [job_id])


def _failure(row: JobRow) -> ServiceError:
    error = row.error or {"code": FailureCode.INTERNAL, "message": "the plan failed", "hint": ""}
    code = FailureCode(error["code"])
    if code is FailureCode.INTERNAL:
        return ServiceError(str(error["message"]))
    message = f"{str(error['message']).rstrip('.')}. {error['hint']}".rstrip()
    if FAILURES[code].is_retryable:
        return UnavailableError(message, code=code)
    return InvalidInputError(message, code=code)
