"""Limits are found by path, as the routes of the real application declare them."""

import pytest
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.http import limits
from app.http.hot import HotRoute
from app.http.limits import DEFAULT, LimitsByPath, RouteLimits
from app.inference.routes import hot_routes
from app.jobs.routes import router as jobs
from app.main import API_ROUTERS
from app.open_inference.infer import hot_routes as open_routes
from app.openapi import Operation


@pytest.mark.parametrize(
    ("path", "declared"),
    [
        ("/v1/models", limits.MODEL_FILE),
        ("/v1/datasets", limits.DATASET_FILE),
        ("/v1/jobs", limits.FILES_OF_A_JOB),
        ("/v1/jobs/job_1/events", limits.EVENTS),
        ("/infer", limits.INFERENCE),
        ("/v1/models/mdl_1/infer", limits.INFERENCE),
        ("/v2/models/net/infer", limits.COMPRESSED_INFERENCE),
        ("/v2/models/net/versions/2/infer", limits.COMPRESSED_INFERENCE),
        ("/v1/models/mdl_1", DEFAULT),
        ("/v1/jobs:plan", DEFAULT),
        ("/v1/jobs/job_1", DEFAULT),
        ("/v2/models/net", DEFAULT),
        ("/v1/jobs/job_1/events/more", DEFAULT),
        ("/nowhere/infer", DEFAULT),
        ("/v1/models/", DEFAULT),
    ],
)
def test_each_route_has_what_it_declares(path: str, declared: RouteLimits) -> None:
    routes = [*hot_routes, *open_routes, *(r for router in API_ROUTERS for r in router.routes)]
    found = LimitsByPath(routes)
    assert found.find(path) is declared
    assert found.find(path) is declared, "and when it is remembered"


def test_a_new_route_declares_its_own() -> None:
    own = RouteLimits(lambda _limits: 17)
    router = APIRouter(prefix="/a")

    @router.post("/{name}")
    @limits.limits(own)
    def endpoint(name: str) -> str:
        return name

    @limits.limits(limits.EVENTS)
    async def hot(_request: Request) -> Response:
        return Response()

    operation = Operation("hot", "Do nothing.", "hot", (), {}, {})
    found = LimitsByPath([*router.routes, HotRoute("/hot/{name}", hot, operation)])
    assert found.find("/a/b") is own
    assert found.find("/hot/b") is limits.EVENTS
    assert found.find("/a") is DEFAULT
    assert endpoint("b") == "b"


def test_the_cache_is_bounded() -> None:
    found = LimitsByPath(jobs.routes)
    for number in range(5000):
        assert found.find(f"/v1/jobs/{number}/events") is limits.EVENTS
    assert len(found._found) <= 1000
