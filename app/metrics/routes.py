"""``/metrics`` in Prometheus's text format, or OpenMetrics on request."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from prometheus_client.exposition import choose_encoder

from app.dependencies import ContextDep, bearer_key, identify
from app.http.limits import OPEN, limits
from app.http.problems import RESPONSES
from app.inference.service import InferenceService
from app.keys.no_auth import is_from_this_machine
from app.telemetry.metrics import Metrics

router = APIRouter(tags=["health"], responses=RESPONSES)

_KEY: dict[str, Any] = {"security": [{"HTTPBearer": []}]}
_TEXT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Prometheus's text format.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}


@router.get("/metrics", response_class=Response, responses=_TEXT, openapi_extra=_KEY)
@limits(OPEN)
async def scrape(request: Request, context: ContextDep) -> Response:
    """Read the metrics of this process and of the jobs.

    They count every tenant's jobs: other machines need a key with the scope ``metrics:read``.
    """
    if not is_from_this_machine(request.scope):
        principal = await identify(context, request.scope, bearer_key(request.scope))
        principal.require("metrics:read")
    metrics: Metrics = request.app.state.metrics
    inference: InferenceService = request.app.state.inference
    metrics.sessions_loaded.set(inference.cache.num_loaded)
    metrics.session_bytes.set(inference.cache.num_bytes)
    metrics.waiting_requests.set(inference.cache.num_waiting)
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    body = await run_in_threadpool(encode, metrics.registry)  # queries the database
    return Response(body, headers={"Content-Type": content_type})
