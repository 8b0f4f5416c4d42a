"""Connections are taken as they come.

libuv, under uvloop, takes one from a listening socket in each turn of the event loop. Under a flood
a turn is long, and who came with two thousand others waited for as long as the flood lasted, with a
mere ``GET /healthz``. Here all that wait are taken in one turn.
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 1.0  # when there is no file, or no memory, for another connection


class Acceptor:
    """Takes the connections of one listening socket, and makes a protocol for each."""

    def __init__(
        self, listener: socket.socket, make_protocol: Callable[[], asyncio.Protocol], backlog: int
    ) -> None:
        """Start to listen, on the running event loop.

        Args:
            listener: Bound; may listen already.
            make_protocol: Called for each connection.
            backlog: Connections that may wait, and the most that are taken in one turn.
        """
        self._loop = asyncio.get_running_loop()
        self._listener, self._make_protocol, self._backlog = listener, make_protocol, backlog
        self._tasks: set[asyncio.Task[object]] = set()
        self._retry: asyncio.TimerHandle | None = None
        listener.settimeout(0)
        listener.listen(backlog)
        self._loop.add_reader(listener, self._accept)

    async def close(self) -> None:
        """Take no more, and close the socket; those that were taken have their protocols then."""
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
                self._rest(error)
                return
            connection.settimeout(0)
            task = self._loop.create_task(self._connect(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _connect(self, connection: socket.socket) -> Coroutine[Any, Any, object]:
        return self._loop.connect_accepted_socket(self._make_protocol, connection)

    def _rest(self, error: OSError) -> None:
        """Leave those that come where they are for a while: now each would fail the same way."""
        log.warning("connections.not_taken", error=str(error), retry_seconds=_RETRY_SECONDS)
        self._loop.remove_reader(self._listener)
        self._retry = self._loop.call_later(
            _RETRY_SECONDS, self._loop.add_reader, self._listener, self._accept
        )
