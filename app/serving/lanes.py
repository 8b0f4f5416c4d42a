"""Threads that read frames from a socket, answer them, and write the answers.

The threads of a lane share its socket: one reads while others compute, so a waiting frame is taken
as soon as any thread is free. When the API closes the socket, the process ends.
"""

import os
import socket
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.serving.crash import CrashNotes
from app.serving.description import Arrays
from app.serving.frames import MOST_HEAD_BYTES, PREFIX, Buffer, Frame, pack, unpack
from app.serving.memory import given_back_in_steps

_MOST_BUFFERS = 512  # of one sendmsg(2); Linux takes 1024

Answer = Callable[[Frame], tuple[dict[str, Any], Arrays]]


class Lane:
    """One socket and its threads."""

    def __init__(self, connection: socket.socket, answer: Answer, notes: CrashNotes) -> None:
        self._socket, self._answer, self._notes = connection, answer, notes
        self._reading, self._writing = threading.Lock(), threading.Lock()

    def start(self, num_threads: int) -> None:
        """Start the threads."""
        for _ in range(num_threads):
            threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        """Answer frames until the API is gone; then end the process."""
        try:
            while True:
                with self._reading:
                    frame = self._read()
                with self._notes.computing(frame.number):
                    head, arrays = self._answer(frame)
                number = frame.number
                del frame
                self.send(number, head, arrays)
                del arrays
        except (OSError, EOFError):
            pass
        finally:
            os._exit(0)  # the API is gone, or this thread has lost its place in the stream

    def send(self, number: int, head: dict[str, Any], arrays: Arrays | None = None) -> None:
        """Send one frame."""
        buffers = pack(number, head, [arrays] if arrays else [])
        with self._writing:
            for start in range(0, len(buffers), _MOST_BUFFERS):
                self._write(buffers[start : start + _MOST_BUFFERS])

    def _write(self, buffers: list[Buffer]) -> None:
        sent = self._socket.sendmsg(buffers)
        for buffer in buffers:
            if sent < len(buffer):
                self._socket.sendall(memoryview(buffer)[sent:])
            sent = max(0, sent - len(buffer))

    def _read(self) -> Frame:
        number, num_head, num_body = PREFIX.unpack(self._receive(PREFIX.size).data)
        if num_head > MOST_HEAD_BYTES:
            raise EOFError
        return unpack(number, self._receive(num_head).data, self._receive(num_body))

    def _receive(self, num_bytes: int) -> NDArray[np.uint8]:
        data = given_back_in_steps(np.empty(num_bytes, np.uint8))
        view, received = data.data, 0
        while received < num_bytes:
            count = self._socket.recv_into(view[received:])
            if count == 0:
                raise EOFError
            received += count
        return data
