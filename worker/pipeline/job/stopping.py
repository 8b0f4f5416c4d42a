"""SIGTERM handling: exit at once, or during training after the next checkpoint."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODE = 143  # 128 + SIGTERM, as shells report it


class StopRequest:
    """Stop flag of this process; `on_signal` is its SIGTERM handler."""

    def __init__(self) -> None:
        self.is_requested = False
        self._is_deferred = False

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """Record the request, and exit unless exiting is deferred."""
        self.is_requested = True
        if not self._is_deferred:
            sys.exit(EXIT_CODE)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Defer exiting; the caller polls `is_requested` and calls `exit` after saving."""
        self._is_deferred = True
        try:
            yield
        finally:
            self._is_deferred = False
        if self.is_requested:
            self.exit()

    def exit(self) -> None:
        """Exit with the status of a process that SIGTERM ended.

        Raises:
            SystemExit: Always.
        """
        sys.exit(EXIT_CODE)
