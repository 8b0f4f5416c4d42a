"""The API with a route that logs and raises secrets."""

import logging

import structlog
from fastapi import FastAPI, Request

from app.main import app_factory as real_factory

log = structlog.get_logger(__name__)


def app_factory() -> FastAPI:
    app = real_factory()

    @app.get("/leak")
    def leak(request: Request) -> None:
        log.warning("leak", headers=dict(request.headers), password="hunter2")  # noqa: S106
        logging.getLogger("library").warning("sent %s", request.headers.raw)
        logging.getLogger("library").warning("at %s", "redis://user:hunter2@redis:6379/0")
        raise RuntimeError("cannot reach postgresql://secateur:hunter2@db/secateur")

    return app
