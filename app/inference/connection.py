"""One socket to the serving process, as an asyncio protocol: frames in, frames out."""

import asyncio
from collections.abc import Callable
from typing import cast

import numpy as np

from app.serving.frames import MOST_HEAD_BYTES, PREFIX, Buffer, Frame, FrameError, unpack


class Connection(asyncio.Protocol):
    """Assembles the frames of one socket.

    Args:
        most_body_bytes: Largest body that the process may send.
        on_frame: Receives each frame.
        on_lost: Called when the socket is closed, or when a frame breaks the format.
    """

    def __init__(
        self, most_body_bytes: int, on_frame: Callable[[Frame], None], on_lost: Callable[[], None]
    ) -> None:
        self._most_body_bytes = most_body_bytes
        self._on_frame, self._on_lost = on_frame, on_lost
        self._parts: list[bytes] = []
        self._num_bytes, self._wanted = 0, PREFIX.size
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Tell that the process has closed the socket."""
        self._on_lost()

    def data_received(self, data: bytes) -> None:
        """Take bytes; pass on every frame that they complete."""
        self._parts.append(data)
        self._num_bytes += len(data)
        while self._num_bytes >= self._wanted:
            if len(self._parts) > 1:
                self._parts = [b"".join(self._parts)]
            try:
                used = self._take(self._parts[0])
            except FrameError:
                self.close()
                self._on_lost()
                return
            if used == 0:
                continue  # `_wanted` has grown
            self._parts = [self._parts[0][used:]] if used < self._num_bytes else []
            self._num_bytes -= used
            self._wanted = PREFIX.size

    def _take(self, data: bytes) -> int:
        """Pass on the first frame if it is complete; return the bytes that it took."""
        number, num_head, num_body = PREFIX.unpack_from(data)
        if num_head > MOST_HEAD_BYTES or num_body > self._most_body_bytes:
            raise FrameError(f"a frame of {num_head} and {num_body} bytes")
        start = PREFIX.size + num_head
        self._wanted = start + num_body
        if len(data) < self._wanted:
            return 0
        # A copy, because arrays must begin where their type can be read.
        body = np.frombuffer(data, np.uint8, num_body, start).copy() if num_body else _NOTHING
        self._on_frame(unpack(number, data[PREFIX.size : start], body))
        return self._wanted

    def send(self, buffers: list[Buffer]) -> None:
        """Write a frame; the buffers must not change any more."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(buffers)

    def close(self) -> None:
        """Close the socket at once."""
        if self._transport is not None:
            self._transport.abort()


_NOTHING = np.empty(0, np.uint8)
