"""Configuration of uvicorn for this service."""

import asyncio
import gc
import math
import resource
import socket
import time
from collections.abc import Callable, Sequence
from typing import cast

import structlog
import uvicorn
from fastapi import FastAPI

from app.contracts.settings import HttpSettings, Settings
from app.server.accepting import Acceptor
from app.server.connection import limited_protocol

log = structlog.get_logger(__name__)

# File descriptors reserved for the database, the store, Redis, uploads and libraries.
_OTHER_FILES = 512
# Allocations between searches for reference cycles. Requests create no cycles; with the default of
# 700, Python kept searching the waiting requests, which took a tenth of the CPU (record 21).
_GARBAGE_THRESHOLD = 50_000
_POLL_SECONDS = 0.05


class _Server(uvicorn.Server):
    _acceptors: Sequence[Acceptor] = ()

    def __init__(
        self, config: uvicorn.Config, leave_seconds: float, on_leave: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._leave_seconds, self._on_leave = leave_seconds, on_leave

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, and exclude all existing objects from garbage collection.

        A full collection searched hundreds of thousands of objects, nearly all of them modules and
        routes, and blocked the event loop for 0.1 s every few seconds.
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
        """Say that this process leaves, then stop accepting connections and close the open ones."""
        self._on_leave()
        end = time.monotonic() + self._leave_seconds
        while time.monotonic() < end and not self.force_exit:  # noqa: ASYNC110  # uvicorn's flag
            await asyncio.sleep(_POLL_SECONDS)
        for acceptor in self._acceptors:
            await acceptor.close()
        await super().shutdown(sockets)

    def _make_protocol(self) -> asyncio.Protocol:
        make = cast("Callable[..., asyncio.Protocol]", self.config.http_protocol_class)
        return make(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


def make_server(app: FastAPI, settings: Settings) -> uvicorn.Server:
    """Return a configured server; the caller runs it."""
    http = _affordable(settings.http)
    config = uvicorn.Config(
        app,
        host=settings.api.host,
        port=settings.api.port,
        http=limited_protocol(http, app.state.shedding),
        ws="none",
        access_log=False,  # `app.http.request` logs each request
        log_config=None,
        server_header=False,
        # Only proxies that the settings name are believed. Without keys none is: requests through
        # a proxy are refused by their headers (`app.keys.no_auth`), and those must stay as sent.
        proxy_headers=settings.api.is_auth_required and bool(settings.api.trusted_proxies),
        forwarded_allow_ips=list(settings.api.trusted_proxies),
        timeout_keep_alive=math.ceil(http.keep_alive_seconds),
        timeout_graceful_shutdown=math.ceil(http.stop_seconds),
    )

    def leave() -> None:
        app.state.is_leaving = True

    return _Server(config, http.leave_seconds, leave)


def _affordable(http: HttpSettings) -> HttpSettings:
    """Raise the open-file limit to its maximum and reduce the connection limit to fit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most == resource.RLIM_INFINITY or most - _OTHER_FILES >= http.connections:
        return http
    connections = max(1, most - _OTHER_FILES)
    log.warning("server.few_files", open_files=most, connections=connections)
    return http.model_copy(update={"connections": connections})
