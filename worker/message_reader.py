"""Read the messages of a job's process, and bound their length, shape and pace.

The process opens untrusted files, so anything may come through its pipe. `recorder` bounds number
and size of what is stored.
"""

import json
import math
import os
import select
import time
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from app.contracts.settings import OutputSettings
from worker.messages import MESSAGES, Failed, Message, Succeeded

_POLL_MILLISECONDS = 200
_CHUNK_BYTES = 65_536
_MOST_LEVELS = 32  # of arrays and objects; the API's own limit is 64
_MOST_INTEGER = 2**63
_LONG = ("planned", "succeeded")  # types whose messages grow with the network
_WHAT = "a message of the job's process"
_BURST_SECONDS = 10


class NotAMessageError(Exception):
    """The process sent something that is not a message."""


class MessageRefusedError(Exception):
    """The process sent a message over a limit; the text is safe to show to users."""


class MessageReader:
    """Reads messages from a pipe and passes them on.

    Args:
        descriptor: Read end of the pipe.
        on_messages: Called about once per poll with new messages, except the last one.
        limits: Limits on length and pace.

    Attributes:
        read_at: Monotonic time of the last message or part of one.
    """

    def __init__(
        self,
        descriptor: int,
        on_messages: Callable[[Sequence[Message]], None],
        limits: OutputSettings,
    ) -> None:
        self.read_at = time.monotonic()
        self._descriptor, self._on_messages, self._limits = descriptor, on_messages, limits
        self._buffer = bytearray()
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._allowed = float(_BURST_SECONDS * limits.messages_per_second)
        self._allowed_at = self.read_at

    def read(self) -> Succeeded | Failed | None:
        """Wait one poll for messages and pass them on.

        Returns:
            The last message; None while the process continues.

        Raises:
            EOFError: The pipe is closed.
            NotAMessageError: A line is not a message.
            MessageRefusedError: A message is over a limit; those before it were passed on.
        """
        if not self._may_read():
            # The pipe fills up, and the process waits. Its job loses time, and nobody else does.
            time.sleep(_POLL_MILLISECONDS / 1000)
            self._on_messages(())
            return None
        if not self._poll.poll(_POLL_MILLISECONDS):
            self._on_messages(())
            return None
        chunk = os.read(self._descriptor, _CHUNK_BYTES)
        if not chunk:
            raise EOFError
        self.read_at = time.monotonic()
        return self._take(chunk)

    def _take(self, chunk: bytes) -> Succeeded | Failed | None:
        *ends, rest = chunk.split(b"\n")
        messages: list[Message] = []
        try:
            for end in ends:
                self._append(end)
                message = _parse(self._buffer, self._limits)
                self._buffer.clear()
                self._allowed -= 1
                if isinstance(message, Succeeded | Failed):
                    return message
                messages.append(message)
            self._append(rest)
        finally:
            self._on_messages(messages)
        return None

    def _append(self, part: bytes) -> None:
        self._buffer += part
        if len(self._buffer) > self._limits.result_bytes:
            raise MessageRefusedError(_too_long(len(self._buffer), self._limits.result_bytes))

    def _may_read(self) -> bool:
        now, pace = time.monotonic(), self._limits.messages_per_second
        more = (now - self._allowed_at) * pace
        self._allowed = min(self._allowed + more, _BURST_SECONDS * pace)
        self._allowed_at = now
        return self._allowed > 0


def _parse(line: bytearray, limits: OutputSettings) -> Message:
    try:
        found = from_json(bytes(line), allow_inf_nan=False)
    except ValueError as error:
        raise NotAMessageError from error
    kind = found.get("type") if isinstance(found, dict) else None
    if kind not in _LONG and len(line) > limits.message_bytes:
        raise MessageRefusedError(_too_long(len(line), limits.message_bytes))
    try:
        message = MESSAGES.validate_python(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))[:100]
        text = f"{_WHAT} is not as it must be, at {place}: {first['msg'][:200]}"
        raise MessageRefusedError(text) from error
    check_json(found)
    if isinstance(message, Succeeded) and message.files:
        _check_summary(message, limits.summary_bytes)
    return message


def _check_summary(message: Succeeded, limit: int) -> None:
    """Check the size of a result with files: it is a pruning job's, which lists of jobs show."""
    found = len(json.dumps(message.result))
    if found > limit:
        raise MessageRefusedError(f"the job's result has {found} bytes, at most {limit} are kept")


def check_json(value: object) -> None:
    """Raise `MessageRefusedError` unless databases and readers take a value as JSON.

    PostgreSQL takes no NUL in texts and no infinite numbers, and deep values overflow stacks.
    """
    level: list[Any] = [value]
    for _ in range(_MOST_LEVELS):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below += each.keys()
                below += each.values()
            elif isinstance(each, list):
                below += each
            elif isinstance(each, str):
                if "\0" in each:
                    raise MessageRefusedError(f"{_WHAT} has a NUL character")
            elif isinstance(each, float) and not math.isfinite(each):
                raise MessageRefusedError(f"{_WHAT} has a number that is not finite")
            elif isinstance(each, int) and abs(each) >= _MOST_INTEGER:
                raise MessageRefusedError(f"{_WHAT} has an integer beyond 64 bits")
        if not below:
            return
        level = below
    raise MessageRefusedError(f"{_WHAT} has more than {_MOST_LEVELS} levels")


def _too_long(found: int, limit: int) -> str:
    return f"{_WHAT} has {found} bytes, at most {limit} are allowed"
