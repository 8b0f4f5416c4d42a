"""uvicorn as this service runs it."""

import asyncio
import gc
import math
import resource
import socket
from collections.abc import Callable, Sequence
from typing import cast

import structlog
import uvicorn
from fastapi import FastAPI

from app.contracts.settings import HttpSettings, Settings
from app.server.accepting import Acceptor
from app.server.connection import limited_protocol

log = structlog.get_logger(__name__)

# File descriptors for the database, the store, Redis, uploads, and libraries.
_OTHER_FILES = 512
# New objects after which Python looks for reference cycles. Requests leave none; at its default of
# 700 Python searched the waiting requests all the time, for a tenth of the CPU (record 21).
_GARBAGE_THRESHOLD = 50_000


class _Server(uvicorn.Server):
    _acceptors: Sequence[Acceptor] = ()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and exclude the objects that exist by now from garbage collection.

        A full collection searched hundreds of thousands of objects, nearly all of them modules and
        routes: every few seconds the event loop stood still for 0.1 s.
        """
        listeners = [self.config.bind_socket()] if sockets is None else sockets
        await super().startup([])
        self._acceptors = [
            Acceptor(listener, self._make_protocol, self.config.backlog) for listener in listeners
        ]
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GARBAGE_THRESHOLD)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more connections, and end the open ones."""
        for acceptor in self._acceptors:
            await acceptor.close()
        await super().shutdown(sockets)

    def _make_protocol(self) -> asyncio.Protocol:
        make = cast("Callable[..., asyncio.Protocol]", self.config.http_protocol_class)
        return make(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


def make_server(app: FastAPI, settings: Settings) -> uvicorn.Server:
    """Return a server that is not running yet."""
    http = _affordable(settings.http)
    config = uvicorn.Config(
        app,
        host=settings.api.host,
        port=settings.api.port,
        http=limited_protocol(http, app.state.shedding),
        ws="none",
        access_log=False,  # `app.http.request` writes a line for each request
        log_config=None,
        server_header=False,
        # Without keys the real peer must be seen: no request may come through a proxy.
        proxy_headers=not settings.api.is_auth_required,
        timeout_keep_alive=math.ceil(http.keep_alive_seconds),
        timeout_graceful_shutdown=math.ceil(http.stop_seconds),
    )
    return _Server(config)


def _affordable(http: HttpSettings) -> HttpSettings:
    """Raise the limit on open files to the allowed maximum, and fit the connections into it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most == resource.RLIM_INFINITY or most - _OTHER_FILES >= http.connections:
        return http
    connections = max(1, most - _OTHER_FILES)
    log.warning("server.few_files", open_files=most, connections=connections)
    return http.model_copy(update={"connections": connections})
