"""``/v1/example``: a first job without files of one's own."""

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from app.dependencies import ContextDep, PrincipalDep
from app.example import service
from app.http.problems import RESPONSES
from app.idempotency import idempotency_key
from app.jobs.schemas import Job
from app.openapi import IDEMPOTENCY_KEY

router = APIRouter(prefix="/v1/example", tags=["jobs"], responses=RESPONSES)


@router.post(
    "", status_code=202, response_model=Job, openapi_extra={"parameters": [IDEMPOTENCY_KEY]}
)
async def start(request: Request, context: ContextDep, principal: PrincipalDep) -> Response:
    """Prune the example: a small network and 6,000 images of shapes, stored with the first job."""
    for scope in ("jobs:write", "models:write", "datasets:write"):
        principal.require(scope)
    key = idempotency_key(request, principal.tenant, "example")
    job_id, body = await run_in_threadpool(service.start, context, key)
    headers = {"Location": f"/v1/jobs/{job_id}"}
    return Response(body, 202, headers, media_type="application/json")
