"""Composition root of the API: `create_app` and its lifespan."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from starlette.types import Scope

from app import health, schemas
from app.artifacts.routes import router as artifacts
from app.contracts.errors import Demand, UnavailableError
from app.contracts.settings import Settings, load_settings
from app.datasets.routes import router as datasets
from app.dependencies import Context, bearer_key, identify
from app.doorbell import CeleryJobQueue, JobQueue
from app.example.routes import router as example
from app.fetching.routes import router as fetching
from app.fetching.service import Fetcher
from app.http.middleware import Application
from app.http.problems import Problem, install_error_handlers
from app.inference.provider import find_trouble
from app.inference.routes import hot_routes as inference_routes
from app.inference.schemas import InferAnswer, TensorsBody
from app.inference.service import InferenceService
from app.inference.shadow import Shadow
from app.inference.supervisor import Supervisor
from app.jobs.comparison import router as comparison
from app.jobs.goals import router as goals
from app.jobs.lines import Lines
from app.jobs.plans import router as plans
from app.jobs.reader import JobReader
from app.jobs.routes import router as jobs
from app.jobs.schemas import JobCreate
from app.keys.cache import KeyCache
from app.keys.last_use import LastUse
from app.keys.no_auth import refuse_public_address
from app.keys.routes import router as keys
from app.keys.service import Principal
from app.keys.wrong import WrongKeys
from app.latencies.routes import router as device_files
from app.latencies.routes import rows as latencies
from app.metrics.backlog import BacklogCollector
from app.metrics.jobs import JobsCollector
from app.metrics.routes import router as metrics_router
from app.models.routes import router as models
from app.objects.garbage import clean_uploads
from app.objects.lock import create_object_lock
from app.objects.storage import open_store
from app.open_inference.errors import PREFIX, error_answer
from app.open_inference.infer import hot_routes
from app.open_inference.repository import router as repository
from app.open_inference.routes import router as protocol
from app.open_inference.schemas import InferenceRequest, InferenceResponse
from app.open_inference.statistics import Statistics
from app.openapi import install_openapi
from app.operators.routes import router as operators
from app.query import refuse_unknown_query
from app.queues.routes import router as queues
from app.quotas.routes import router as quotas
from app.quotas.service import Quotas
from app.records.database import create_database, create_sessions
from app.records.line import Allowance
from app.records.rings import ring_after_commit
from app.registry.resolve import Registry
from app.registry.routes import router as registry
from app.server.shedding import Shedding
from app.shares.page import ShareGuard
from app.shares.page import router as shared
from app.shares.routes import router as shares
from app.sweeps.routes import router as sweeps
from app.sweeps.schemas import SweepCreate
from app.telemetry.logs import configure_logging
from app.telemetry.metrics import Metrics
from app.telemetry.spans import Spans, create_spans
from app.web.missing import install_missing_page
from app.web.reference import router as reference
from app.web.routes import router as web
from secateur import __version__

API_ROUTERS = (
    models,
    registry,
    datasets,
    device_files,
    latencies,
    fetching,
    comparison,
    example,
    goals,
    jobs,
    plans,
    shares,
    shared,
    sweeps,
    queues,
    operators,
    keys,
    quotas,
    artifacts,
    protocol,
    repository,
    schemas.router,
    health.router,
    metrics_router,
    web,
    reference,
)

_DESCRIPTION = "Prunes convolutional networks: upload → prune → poll → infer."


def create_app(
    settings: Settings,
    queue: JobQueue | None = None,
    spans: Spans | None = None,
    supervisor: type[Supervisor] = Supervisor,
) -> FastAPI:
    """Return the API for ``settings``; the other arguments are given in tests.

    Raises:
        ValueError: Authentication is off on an address that others can reach.
        UnavailableError: The provider that shall serve cannot run here.
    """
    refuse_public_address(settings.api)
    if (trouble := find_trouble(settings)) is not None:
        raise UnavailableError(trouble)

    metrics = Metrics()
    spans = spans or create_spans(settings.tracing, "secateur-api")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = create_database(
            settings.database_url,
            pool_size=settings.database.pool_size,
            transaction_seconds=settings.database.transaction_seconds,
        )
        lock = create_object_lock(engine)
        store = open_store(settings.storage_url, settings.storage, lock.shared)
        sessions = create_sessions(engine)
        doorbell = queue or CeleryJobQueue(settings.queue_url)
        ring_after_commit(sessions, doorbell.ring)
        last_use = LastUse(sessions)
        clean_uploads(settings.scratch_dir, time.time() - settings.storage.orphan_seconds)
        app.state.context = Context(
            settings,
            sessions,
            store,
            doorbell,
            lines=Lines(
                sessions,
                Allowance.of(settings.quotas),
            ),
            job_reader=JobReader(sessions),
            keys=KeyCache(sessions, last_use=last_use, wrong=WrongKeys(settings.api.wrong_keys)),
            quotas=Quotas(settings.quotas, sessions, settings.retention.kept_deleted_seconds),
        )
        metrics.registry.register(JobsCollector(sessions))
        metrics.registry.register(BacklogCollector(sessions))
        app.state.inference = InferenceService(settings, sessions, store, metrics, supervisor)
        await app.state.inference.start()
        shadow = Shadow(app.state.inference, metrics, settings.inference.shadow_share)
        app.state.shadow = shadow
        app.state.registry = Registry(sessions)
        app.state.statistics = Statistics()
        app.state.readiness = health.create_readiness(
            app.state.inference.supervisor, app.state.context
        )
        app.state.readiness.look_ahead()
        app.state.readiness_cache = health.create_cache()
        yield
        shadow.close()
        await app.state.inference.close()
        last_use.close()
        spans.close()
        engine.dispose()

    app = Application(
        title="Secateur",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        openapi_url=None,  # `app.web.reference` serves the document and its page
    )
    app.state.metrics = metrics
    app.state.fetcher, app.state.share_guard = Fetcher(settings), ShareGuard(settings.shares)
    app.state.is_leaving = False  # set by the server before it closes its port
    install_error_handlers(app, {PREFIX: error_answer})
    install_missing_page(app)
    hot = [*inference_routes, *hot_routes]
    app.router.routes.extend(hot)
    for router in API_ROUTERS:
        is_ours = router.prefix.startswith("/v1")
        app.include_router(router, dependencies=[Depends(refuse_unknown_query)] if is_ours else [])
    install_openapi(
        app,
        {route.path: route.operation for route in hot},
        bodies=(JobCreate, SweepCreate, Problem, TensorsBody, InferenceRequest),
        answers=(InferAnswer, InferenceResponse),
    )

    def accepts(demand: Demand, num_others: int) -> bool:
        service: InferenceService = app.state.inference
        return service.accepts(demand, num_others)

    app.state.shedding = Shedding(metrics, accepts)
    routes = [route for router in API_ROUTERS for route in router.routes]

    async def identify_caller(scope: Scope) -> Principal:
        return await identify(app.state.context, scope, bearer_key(scope))

    app.add_outer(settings, metrics, spans, hot, routes, app.state.shedding.guard, identify_caller)
    return app


def app_factory() -> FastAPI:
    """Return the API for the environment's settings. Called by uvicorn."""
    settings = load_settings()
    configure_logging(settings)
    return create_app(settings)
