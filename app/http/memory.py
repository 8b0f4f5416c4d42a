"""Memory that one request's body takes, out of what all bodies of the process may take.

A request counts with the bytes of its body, with what its JSON takes once it is parsed, and with
the tensors that its images become and that answer it.
"""

from starlette.types import Scope

from app.contracts.errors import TooLargeError, TooManyRequestsError
from app.http.errors import BusyError
from app.http.shares import Shares

_KEY = "secateur.memory"
_RETRY_SECONDS = 1.0


class BodyMemory:
    """What one request holds; given back by `let_go`."""

    def __init__(self, shares: Shares, tenant: str) -> None:
        self._shares, self._tenant, self._num_bytes = shares, tenant, 0

    def hold(self, num_bytes: int) -> None:
        """Hold more bytes.

        Raises:
            BusyError: All bodies together would take more than the process may hold.
            TooManyRequestsError: The tenant's bodies would take more than its share.
        """
        shares, tenant = self._shares, self._tenant
        self._num_bytes += num_bytes
        shares.add(tenant, num_bytes)
        if shares.free < 0:
            raise BusyError(
                f"request bodies and their tensors take more than {shares.capacity} bytes of "
                "memory at once; try again soon"
            )
        held, most = shares.held(tenant), shares.most(tenant)
        # One body alone may take all that is free: its size has a limit of its own.
        if held > most and held > self._num_bytes:
            raise TooManyRequestsError(
                f"the tenant's request bodies and their tensors take {held} bytes of memory, and "
                f"one API process takes {most} now: its share of {shares.capacity}. Send fewer at "
                "once",
                retry_after_seconds=_RETRY_SECONDS,
            )

    def hold_parsed(self, num_bytes: int) -> None:
        """Hold what a piece of JSON takes once it is parsed (`app.http.weight`).

        Raises:
            TooLargeError: This request's JSON alone takes more than a tenant's share.
            BusyError, TooManyRequestsError: As in `hold`.
        """
        most = self._shares.largest
        if self._num_bytes + num_bytes > most:
            raise TooLargeError(
                f"the JSON would take more than {most} bytes of memory once it is parsed, which "
                "is more than a tenant's share; send less at once, or tensors in a binary form"
            )
        self.hold(num_bytes)

    def let_go(self) -> None:
        """Give everything back."""
        self._shares.add(self._tenant, -self._num_bytes)
        self._num_bytes = 0


def put_memory(scope: Scope, memory: BodyMemory) -> None:
    """Put a request's memory into its scope."""
    scope[_KEY] = memory


def memory_of(scope: Scope) -> BodyMemory:
    """Return a request's memory, for a route that inflates its body itself."""
    memory: BodyMemory = scope[_KEY]
    return memory
