"""uvicorn as this service runs it."""

import math
import resource

import structlog
import uvicorn
from fastapi import FastAPI

from app.contracts.settings import HttpSettings, Settings
from app.http.protocol import limited_protocol

log = structlog.get_logger(__name__)

# For the database, the store, Redis, uploads that are being written, and what libraries open.
_OTHER_FILES = 512


def make_server(app: FastAPI, settings: Settings) -> uvicorn.Server:
    """Return a server that is not running yet."""
    http = _affordable(settings.http)
    config = uvicorn.Config(
        app,
        host=settings.api.host,
        port=settings.api.port,
        http=limited_protocol(http),
        ws="none",
        access_log=False,  # `app.http.request` writes a line for each request
        log_config=None,
        server_header=False,
        timeout_keep_alive=math.ceil(http.keep_alive_seconds),
        timeout_graceful_shutdown=math.ceil(http.stop_seconds),
    )
    return uvicorn.Server(config)


def _affordable(http: HttpSettings) -> HttpSettings:
    """Raise the limit on open files as far as we may, and fit the connections into it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most == resource.RLIM_INFINITY or most - _OTHER_FILES >= http.connections:
        return http
    connections = max(1, most - _OTHER_FILES)
    log.warning("server.few_files", open_files=most, connections=connections)
    return http.model_copy(update={"connections": connections})
