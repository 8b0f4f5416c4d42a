"""Being asked to stop: at once, or in training as soon as the state is saved."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODE = 143  # what a shell says of a process that SIGTERM ended


class StopRequest:
    """Whether this process was asked to stop; `on_signal` is the handler of SIGTERM."""

    def __init__(self) -> None:
        self.is_requested = False
        self._is_deferred = False

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """Take the request; exit unless somebody has promised to look."""
        self.is_requested = True
        if not self._is_deferred:
            sys.exit(EXIT_CODE)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Promise to look at `is_requested` often, and to `exit` when everything is saved."""
        self._is_deferred = True
        try:
            yield
        finally:
            self._is_deferred = False
        if self.is_requested:
            self.exit()

    def exit(self) -> None:
        """End the process as the signal would have.

        Raises:
            SystemExit: Always.
        """
        sys.exit(EXIT_CODE)
