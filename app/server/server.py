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

# For the database, the store, Redis, uploads that are being written, and what libraries open.
_OTHER_FILES = 512
# So many objects more than before, and Python looks for cycles among the youngest. What a request
# leaves goes without that; at Python's own 700, those that wait were looked through all the time.
_GARBAGE_THRESHOLD = 50_000


class _Server(uvicorn.Server):
    _acceptors: Sequence[Acceptor] = ()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; what is there by now stays, and is not looked through for garbage again.

        A full collection went through hundreds of thousands of objects, almost all of them modules
        and routes: 0.1 s every few seconds in which nobody was answered and no run ended.
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
        """Take no more connections, and end those there are."""
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
        # Who asks matters where no key is asked for: strangers may not come in through a proxy.
        proxy_headers=not settings.api.is_auth_required,
        timeout_keep_alive=math.ceil(http.keep_alive_seconds),
        timeout_graceful_shutdown=math.ceil(http.stop_seconds),
    )
    return _Server(config)


def _affordable(http: HttpSettings) -> HttpSettings:
    """Raise the limit on open files as far as we may, and fit the connections into it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most == resource.RLIM_INFINITY or most - _OTHER_FILES >= http.connections:
        return http
    connections = max(1, most - _OTHER_FILES)
    log.warning("server.few_files", open_files=most, connections=connections)
    return http.model_copy(update={"connections": connections})
