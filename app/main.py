"""The API's composition root: `create_app` and its lifespan, and nothing else."""

import ipaddress
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from app import health, schemas
from app.artifacts.routes import router as artifacts
from app.contracts.database import create_database, create_sessions
from app.contracts.garbage import clean_uploads
from app.contracts.object_lock import create_object_lock
from app.contracts.settings import Settings, load_settings
from app.contracts.storage import open_store
from app.contracts.telemetry import configure_logging
from app.datasets.routes import router as datasets
from app.dependencies import Context
from app.errors import install_error_handlers
from app.inference.routes import router as inference
from app.inference.service import InferenceService
from app.jobs.lines import Lines
from app.jobs.plans import router as plans
from app.jobs.reader import JobReader
from app.jobs.routes import router as jobs
from app.jobs.schemas import JobCreate
from app.keys.cache import KeyCache
from app.middleware import BodyLimitMiddleware, RequestMiddleware
from app.models.routes import router as models
from app.openapi import install_openapi
from app.queue import CeleryJobQueue, JobQueue
from app.sweeps.routes import router as sweeps
from app.sweeps.schemas import SweepCreate

_DESCRIPTION = "Prunes convolutional networks: upload → prune → poll → infer."


def create_app(settings: Settings, queue: JobQueue | None = None) -> FastAPI:
    """Return the API for ``settings``; ``queue`` replaces the doorbell in tests.

    Raises:
        ValueError: Authentication is off on an address that others can reach.
    """
    if not settings.api.is_auth_required and not _is_loopback(settings.api.host):
        raise ValueError(f"refusing to serve {settings.api.host} without authentication")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = create_database(settings.database_url, pool_size=settings.database.pool_size)
        lock = create_object_lock(engine)
        store = open_store(settings.storage_url, settings.storage, lock.shared)
        sessions = create_sessions(engine)
        doorbell = queue or CeleryJobQueue(settings.queue_url)
        clean_uploads(settings.scratch_dir, time.time() - settings.storage.orphan_seconds)
        app.state.context = Context(
            settings,
            sessions,
            store,
            doorbell,
            lines=Lines(sessions),
            job_reader=JobReader(sessions),
            keys=KeyCache(sessions),
        )
        app.state.inference = InferenceService(settings, sessions, store)
        yield
        app.state.inference.close()
        engine.dispose()

    app = FastAPI(title="Secateur", version="0.1.0", description=_DESCRIPTION, lifespan=lifespan)
    install_error_handlers(app)
    for router in (
        models,
        datasets,
        jobs,
        plans,
        sweeps,
        artifacts,
        inference,
        schemas.router,
        health.router,
    ):
        app.include_router(router)
    install_openapi(app, JobCreate, SweepCreate)
    app.add_middleware(BodyLimitMiddleware, limits=settings.limits)
    app.add_middleware(RequestMiddleware)  # outermost: refusals are logged too
    return app


def app_factory() -> FastAPI:
    """Return the API for the environment's settings; what uvicorn calls."""
    settings = load_settings()
    configure_logging(settings)
    return create_app(settings)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
