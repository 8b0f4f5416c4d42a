"""Connections of a busy process."""

import asyncio
import gc
import os
import socket
import time
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from app.contracts.settings import HttpSettings
from app.http.disconnect import Exchange, exchange_of
from app.server.connection import limited_protocol
from app.server.shedding import Shedding
from app.server.transports import has_hung_up, has_unread
from app.telemetry.metrics import Metrics

KEEP_ALIVE_SECONDS = 1
REQUEST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"


Run = Callable[[Coroutine[Any, Any, None]], None]

answered: "list[weakref.ref[Exchange]]" = []
connections: list[Any] = []  # the server's side


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    exchange = exchange_of(scope)
    assert exchange is not None
    answered.append(weakref.ref(exchange))
    body = (await receive())["body"]
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def connected() -> AsyncIterator[socket.socket]:
    """Serve on this event loop, and yield a connection after its first answer."""
    protocol = limited_protocol(
        HttpSettings(keep_alive_seconds=KEEP_ALIVE_SECONDS),
        Shedding(Metrics(), lambda _demand, _num_others: True),
    )
    config = uvicorn.Config(
        answer, http=protocol, timeout_keep_alive=KEEP_ALIVE_SECONDS, lifespan="off", ws="none"
    )
    config.load()
    state = uvicorn.server.ServerState()
    loop = asyncio.get_running_loop()

    def accept() -> asyncio.Protocol:
        connections.append(protocol(config=config, server_state=state, app_state={}))
        return connections[-1]  # type: ignore[no-any-return]

    server = await loop.create_server(accept, "127.0.0.1", 0)
    try:
        with socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, server.sockets[0].getsockname())
            assert await ask(client) == 200
            yield client
    finally:
        server.close()
        await asyncio.sleep(0.05)


async def ask(client: socket.socket) -> int:
    await asyncio.get_running_loop().sock_sendall(client, REQUEST)
    return await read(client)


async def read(client: socket.socket) -> int:
    """Return the status of an answer, or 0 if the connection was closed."""
    received = b""
    while not received.endswith(b"hello"):
        async with asyncio.timeout(10):
            piece = await asyncio.get_running_loop().sock_recv(client, 65_536)
        if not piece:
            return 0
        received += piece
    return int(received[9:12])


def test_a_request_that_came_in_time_is_answered_though_the_loop_was_late() -> None:
    async def be_late() -> None:
        async with connected() as client:
            loop, (looks, tells) = asyncio.get_running_loop(), os.pipe()

            def work_for_long() -> None:  # as what comes on another connection may ask for
                loop.remove_reader(looks)
                time.sleep(KEEP_ALIVE_SECONDS + 0.5)
                client.send(REQUEST)

            loop.add_reader(looks, work_for_long)
            os.write(tells, b"x")
            assert await read(client) == 200
            assert await read(client) == 0, "idle, it is closed"
            os.close(looks)
            os.close(tells)

    uvloop.run(be_late())


def test_a_request_is_freed_with_its_answer() -> None:
    async def ask_often() -> None:
        async with connected() as client:
            gc.disable()
            try:
                for _ in range(20):
                    assert await ask(client) == 200
                left = [kept() for kept in answered]
            finally:
                gc.enable()
            assert len(left) > 20
            assert sum(found is not None for found in left) == 1, "the connection's last"

    answered.clear()
    uvloop.run(ask_often())


@pytest.mark.parametrize("run", [uvloop.run, asyncio.run], ids=["uvloop", "asyncio"])
def test_a_timer_of_a_connection_that_has_closed_does_nothing(run: Run) -> None:
    """It used to ask a closed descriptor what it has: `ValueError: fileno -1`."""

    async def close_both() -> None:
        async with connected() as client:
            assert await ask(client) == 200
            (connection,) = connections
            connection.transport.abort()
            await asyncio.sleep(0.01)  # the loop closes the descriptor
            assert not has_unread(connection.transport)
            assert has_hung_up(connection.transport)
            connection.timeout_keep_alive_handler()
            connection._time_is_up()

    connections.clear()
    run(close_both())
