"""What the socket of a connection tells, and how a response is written to it."""

import asyncio
import fcntl
import os
import socket
import termios
import weakref
from collections.abc import Callable

_HUNG_UP = {7, 8}  # CLOSE and CLOSE_WAIT in linux/tcp_states.h


class AnswerTransport:
    """The transport that uvicorn writes a response to; the connection decides how it is closed."""

    def __init__(
        self, transport: asyncio.Transport, close: weakref.WeakMethod[Callable[[], None]]
    ) -> None:
        """Wrap ``transport``.

        Args:
            transport: The connection's own.
            close: Called instead of its ``close``. Weak, since a reference cycle would keep bodies
                alive.
        """
        self.write, self.is_closing = transport.write, transport.is_closing
        self._close = close

    def close(self) -> None:
        """Close the connection after its last response."""
        close = self._close()
        if close is not None:
            close()


def has_unread(transport: asyncio.Transport) -> bool:
    """Return whether bytes have arrived that the event loop has not read yet."""
    if transport.is_closing():  # its descriptor may be closed, or belong to another connection
        return False
    connection = transport.get_extra_info("socket")
    found = fcntl.ioctl(connection.fileno(), termios.FIONREAD, bytes(4))
    return found != bytes(4)


def has_hung_up(transport: asyncio.Transport) -> bool:
    """Return whether the other side has closed a TCP connection, whatever is unread; Linux only."""
    if transport.is_closing():
        return True
    if not hasattr(socket, "TCP_INFO"):
        return False
    number = transport.get_extra_info("socket").fileno()
    with socket.socket(fileno=os.dup(number)) as connection:
        if connection.family not in {socket.AF_INET, socket.AF_INET6}:
            return False
        (state,) = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
        return state in _HUNG_UP
