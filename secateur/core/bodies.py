"""Reads a response into memory, up to a limit: a client may talk to a server it cannot trust."""

from secateur.errors import UnexpectedAnswerError

LONGEST_BODY_BYTES = 1024**3
LONGEST_ERROR_BYTES = 1024**2


class Body:
    """A response's body while it arrives."""

    def __init__(self, *, is_success: bool) -> None:
        self._most = LONGEST_BODY_BYTES if is_success else LONGEST_ERROR_BYTES
        self._data = bytearray()

    def add(self, chunk: bytes) -> None:
        """Append a chunk.

        Raises:
            UnexpectedAnswerError: The body exceeds the limit.
        """
        if len(self._data) + len(chunk) > self._most:
            raise UnexpectedAnswerError(
                f"the response is longer than {self._most:,} bytes, the most that the client reads "
                "into memory. Does the URL belong to a Secateur service?"
            )
        self._data += chunk

    def value(self) -> bytes:
        """Return the whole body."""
        return bytes(self._data)
