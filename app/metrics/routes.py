"""``/metrics`` in Prometheus's text format, or OpenMetrics on request."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from prometheus_client.exposition import choose_encoder

from app.inference.service import InferenceService
from app.telemetry.metrics import Metrics

router = APIRouter(tags=["health"])

_TEXT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Prometheus's text format.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}


@router.get("/metrics", response_class=Response, responses=_TEXT)
async def scrape(request: Request) -> Response:
    """Read the metrics of this process and of the jobs."""
    metrics: Metrics = request.app.state.metrics
    inference: InferenceService = request.app.state.inference
    metrics.sessions_loaded.set(inference.cache.num_loaded)
    metrics.session_bytes.set(inference.cache.num_bytes)
    metrics.waiting_requests.set(inference.cache.num_waiting)
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    body = await run_in_threadpool(encode, metrics.registry)  # queries the database
    return Response(body, headers={"Content-Type": content_type})
