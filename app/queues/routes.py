"""``/v1/queues``."""

from fastapi import APIRouter

from app.dependencies import ContextDep, PrincipalDep
from app.http.problems import RESPONSES
from app.queues import service
from app.queues.schemas import Queues

router = APIRouter(prefix="/v1/queues", tags=["queues"], responses=RESPONSES)


@router.get("")
def read(context: ContextDep, principal: PrincipalDep) -> Queues:
    """Read the waiting jobs, the running jobs and the live workers."""
    principal.require("jobs:read")
    return Queues(data=service.list_queues(context, principal.tenant))
