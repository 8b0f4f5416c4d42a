"""Accept all pending connections in one iteration of the event loop.

libuv, and so uvloop, accepts one connection per listening socket in each iteration. Under a flood,
iterations are long, and even ``GET /healthz`` waits behind two thousand connections until the flood
ends (record 21).
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 1.0  # after running out of file descriptors or memory


class Acceptor:
    """Accepts connections of one listening socket and creates a protocol for each."""

    def __init__(
        self, listener: socket.socket, make_protocol: Callable[[], asyncio.Protocol], backlog: int
    ) -> None:
        """Start listening on the running event loop.

        Args:
            listener: A bound socket; may already be listening.
            make_protocol: Called for each connection.
            backlog: Maximum number of connections to queue, and to accept in one iteration.
        """
        self._loop = asyncio.get_running_loop()
        self._listener, self._make_protocol, self._backlog = listener, make_protocol, backlog
        self._tasks: set[asyncio.Task[object]] = set()
        self._retry: asyncio.TimerHandle | None = None
        listener.settimeout(0)
        listener.listen(backlog)
        self._loop.add_reader(listener, self._accept)

    async def close(self) -> None:
        """Close the socket and wait until every accepted connection has a protocol."""
        if self._retry is not None:
            self._retry.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self) -> None:
        for _ in range(self._backlog):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(error)
                return
            connection.settimeout(0)
            task = self._loop.create_task(self._connect(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _connect(self, connection: socket.socket) -> Coroutine[Any, Any, object]:
        return self._loop.connect_accepted_socket(self._make_protocol, connection)

    def _pause(self, error: OSError) -> None:
        """Stop accepting for a second: immediate retries would fail the same way."""
        log.warning("connections.not_taken", error=str(error), retry_seconds=_RETRY_SECONDS)
        self._loop.remove_reader(self._listener)
        self._retry = self._loop.call_later(
            _RETRY_SECONDS, self._loop.add_reader, self._listener, self._accept
        )
