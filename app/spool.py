"""Spool of one incoming file, hashed and written in the thread pool block by block.

Between blocks it holds neither a thread nor an open file. Each of thousands of slow clients costs
only a socket and a small buffer.
"""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fastapi.concurrency import run_in_threadpool

from app.contracts.errors import InvalidInputError, TooLargeError
from app.text import check_line

# Most bytes held for a stalled client, besides the server's own buffer of the same size.
BLOCK_BYTES = 64 * 1024
_FIRST_LOOK_BYTES = 4096
_MAX_FILENAME = 200

Check = Callable[[bytes, str | None], None]
"""Raises if a file with these first bytes and this name is not accepted."""


class Room(Protocol):
    """Storage reserved for the bytes of an upload."""

    async def receive(self, num_bytes: int) -> None:
        """Count bytes that have arrived; raises if there is no room for them."""


@dataclass(frozen=True)
class Upload:
    """A completely received file.

    Attributes:
        path: Path, valid until the receiving block ends.
        sha256: SHA-256 in hexadecimal.
        num_bytes: Size.
        filename: The user's name for the file, for display only.
    """

    path: Path
    sha256: str
    num_bytes: int
    filename: str | None


class Spool:
    """Writer of one incoming file. Its creator must call `discard`."""

    def __init__(
        self,
        folder: Path,
        limit: int,
        filename: str | None,
        check: Check | None = None,
        room: Room | None = None,
    ) -> None:
        """Begin a file.

        Args:
            folder: Folder of the file.
            limit: Most bytes.
            filename: The user's name for the file.
            check: Gets the first bytes before the rest is accepted.
            room: Counts the bytes as they arrive.

        Raises:
            InvalidInputError: The file's name holds control characters.
        """
        self._check, self._check_at, self._room = check, _FIRST_LOOK_BYTES, room
        self._limit, self._filename = limit, _display_name(filename)
        self._path = folder / f"{secrets.token_hex(16)}.partial"
        self._digest, self._num_bytes, self._pending = hashlib.sha256(), 0, bytearray()
        self._is_on_disk = False

    async def write(self, chunk: bytes) -> None:
        """Take the next piece.

        Raises:
            TooLargeError: The file exceeds its limit.
            ServiceError: ``check`` refused the first bytes, or ``room`` these.
        """
        self._num_bytes += len(chunk)
        if self._num_bytes > self._limit:
            raise TooLargeError(f"the file has more than {self._limit} bytes, the limit")
        if self._room is not None:
            await self._room.receive(len(chunk))
        self._pending += chunk
        if self._check is not None and len(self._pending) >= self._check_at:
            # Check early to refuse before much is sent, and again with the whole buffer.
            self._check(bytes(self._pending[:BLOCK_BYTES]), self._filename)
            is_last = self._check_at == BLOCK_BYTES or len(self._pending) >= BLOCK_BYTES
            self._check, self._check_at = (None if is_last else self._check), BLOCK_BYTES
        if len(self._pending) >= BLOCK_BYTES:
            await run_in_threadpool(self._flush)

    @property
    def is_unused(self) -> bool:
        """Whether the file has neither bytes nor a name, as from an empty file input of a page."""
        return self._num_bytes == 0 and self._filename is None

    async def finish(self) -> Upload:
        """Write the remaining bytes and return the file.

        Raises:
            InvalidInputError: The file is empty.
        """
        if self._num_bytes == 0:
            raise InvalidInputError("the file is empty")
        await run_in_threadpool(self._flush)
        return Upload(self._path, self._digest.hexdigest(), self._num_bytes, self._filename)

    def discard(self) -> None:
        """Remove the file. Costs one system call."""
        if self._is_on_disk:
            self._path.unlink(missing_ok=True)

    def _flush(self) -> None:
        block, self._pending = self._pending, bytearray()
        self._digest.update(block)
        if not self._is_on_disk:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._is_on_disk = True
        with self._path.open("ab") as file:
            file.write(block)


def _display_name(filename: str | None) -> str | None:
    if not filename:
        return None
    try:
        return check_line(filename)[:_MAX_FILENAME]
    except ValueError as error:
        raise InvalidInputError(f"the file's name is not accepted: {error}") from error
