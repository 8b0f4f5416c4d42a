"""Waiting connections are accepted together, in one turn of the event loop."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import uvloop

import app.server.accepting
from app.server.accepting import Acceptor

NUMBER = 200
BACKLOG = 512


class Taken(asyncio.Protocol):
    """A protocol that counts its connections and sends a greeting."""

    taken: list[asyncio.Transport]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.taken.append(transport)
        transport.write(b"hello")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        yield found


def accepting(listener: socket.socket) -> tuple[Acceptor, list[asyncio.Transport]]:
    taken: list[asyncio.Transport] = []
    kind = type("Taken", (Taken,), {"taken": taken})
    return Acceptor(listener, kind, BACKLOG), taken


async def some_turns() -> None:
    """Run ten turns of the event loop, so that it handles new connections."""
    for _ in range(10):
        await asyncio.sleep(0.001)


def connected(listener: socket.socket, number: int) -> list[socket.socket]:
    return [socket.create_connection(listener.getsockname(), timeout=10) for _ in range(number)]


def test_requests_that_arrive_during_a_long_turn_start_in_small_groups(
    listener: socket.socket,
) -> None:
    async def take() -> None:
        acceptor, taken = accepting(listener)
        with ExitStack() as stack:
            clients = [stack.enter_context(c) for c in connected(listener, NUMBER)]
            await some_turns()
            assert len(taken) == NUMBER
            for transport in taken:
                connection = transport.get_extra_info("socket")
                assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                transport.close()
            await acceptor.close()
            await some_turns()
            assert {client.recv(100) for client in clients} == {b"hello"}
            assert {client.recv(100) for client in clients} == {b""}

    uvloop.run(take())


def test_connections_accepted_just_before_shutdown_are_handed_over(
    listener: socket.socket,
) -> None:
    async def take() -> None:
        acceptor, taken = accepting(listener)
        (client,) = connected(listener, 1)
        with client:
            tasks = len(asyncio.all_tasks())
            for _ in range(10_000):
                await asyncio.sleep(0)
                if len(asyncio.all_tasks()) > tasks:  # it is taken
                    break
            assert taken == []
            await acceptor.close()
            assert len(taken) == 1
            taken[0].close()
            await some_turns()

    uvloop.run(take())


def test_no_connection_is_accepted_after_shutdown(listener: socket.socket) -> None:
    async def take() -> None:
        acceptor, taken = accepting(listener)
        address = listener.getsockname()
        await acceptor.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=10)
        await some_turns()
        assert taken == []

    uvloop.run(take())


class Full:
    """A listening socket of a process that is out of file descriptors for a while."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener, self.num_failures = listener, 0
        self.fileno, self.listen = listener.fileno, listener.listen
        self.settimeout, self.close = listener.settimeout, listener.close

    def accept(self) -> tuple[socket.socket, object]:
        if self.num_failures < 2:
            self.num_failures += 1
            raise OSError(24, "Too many open files")
        return self._listener.accept()


def test_accepting_pauses_when_file_descriptors_run_out(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.server.accepting, "_RETRY_SECONDS", 0.2)

    async def take() -> None:
        full = Full(listener)
        acceptor, taken = accepting(full)  # type: ignore[arg-type]  # as good as a socket
        (client,) = connected(listener, 1)
        with client:
            await some_turns()
            assert full.num_failures == 1, "nobody asks again and again meanwhile"
            for _ in range(200):
                await some_turns()
                if taken:
                    break
            assert full.num_failures == 2
            await some_turns()
            assert client.recv(100) == b"hello"
            taken[0].close()
            await acceptor.close()
            await some_turns()

    uvloop.run(take())
