"""``/v1/workers``, ``/v1/tenants``, and the levers of ``/v1/queues``."""

from typing import Annotated, Literal

import structlog
from fastapi import APIRouter, Query

from app.dependencies import ContextDep, PrincipalDep
from app.http.problems import RESPONSES
from app.keys.scopes import OPERATOR
from app.operators import service
from app.operators.schemas import OperatedWorker, OperatedWorkers, QueueState, Tenants
from app.paging import Limit
from app.text import Line

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/v1", tags=["operators"], responses=RESPONSES)


@router.get("/workers")
def list_workers(context: ContextDep, principal: PrincipalDep) -> OperatedWorkers:
    """List the live workers."""
    principal.require(OPERATOR)
    return OperatedWorkers(data=service.list_workers(context.sessions))


@router.post("/workers/{worker}/{lever}")
def use_worker_lever(
    worker: str,
    lever: Literal["cordon", "uncordon", "drain"],
    context: ContextDep,
    principal: PrincipalDep,
) -> OperatedWorker:
    """Let a worker take no more jobs (cordon), also hand back those it runs (drain), or neither."""
    principal.require(OPERATOR)
    found = service.use_worker_lever(context.sessions, lever, worker)
    log.info("operator.worker", lever=lever, worker=found.name, key_id=principal.key_id)
    return found


@router.post("/queues/{queue}/{lever}")
def use_queue_lever(
    queue: str,
    lever: Literal["pause", "resume"],
    context: ContextDep,
    principal: PrincipalDep,
) -> QueueState:
    """Give out no jobs of a queue until it is resumed; running jobs continue."""
    principal.require(OPERATOR)
    found = service.use_queue_lever(context.sessions, lever, queue)
    log.info("operator.queue", lever=lever, queue=queue, key_id=principal.key_id)
    return found


@router.get("/tenants")
def list_tenants(
    context: ContextDep,
    principal: PrincipalDep,
    limit: Limit = 20,
    after: Annotated[
        Line, Query(max_length=64, description="Return tenants after this name.")
    ] = "",
) -> Tenants:
    """List tenants by name, with what they use."""
    principal.require(OPERATOR)
    undo_seconds = context.settings.retention.kept_deleted_seconds
    return service.page_of_tenants(context.sessions, after, limit, undo_seconds)
