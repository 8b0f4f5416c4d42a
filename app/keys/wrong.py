"""Counts wrong keys by the address that sends them.

Nobody finds a key by guessing: a secret has 256 random bits. A wrong key of the right form costs a
read of the database, so an address that keeps sending them is refused without one. Keys that the
process has seen valid are not refused: others may share the address, behind a proxy.
"""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.types import Scope

from app.contracts.errors import WrongKeysError

_MINUTE = 60.0
_MOST_ADDRESSES = 10_000
_IPV6_BITS = 64  # one subscriber has a whole network of this size


class WrongKeys:
    """A bucket of wrong keys per address, refilled within a minute. For one event loop."""

    def __init__(
        self, most: int, clock: Callable[[], float] = time.monotonic, what: str = "API keys"
    ) -> None:
        """Start empty.

        Args:
            most: Wrong keys of one address in a minute.
            clock: Clock in seconds, replaced in tests.
            what: What is counted, for the message: keys, or links that contain one.
        """
        self._most, self._clock, self._what = most, clock, what
        # What an address has used, and when that was counted; the oldest first.
        self._used: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def refuse(self, address: str) -> None:
        """Raise `WrongKeysError` if an address has sent too many wrong keys."""
        used = self._used_by(address)
        if used + 1 > self._most:
            seconds = (used + 1 - self._most) * _MINUTE / self._most
            raise WrongKeysError(
                f"{self._most} wrong {self._what} came from {address} within a minute, as many as "
                f"one address may send; check yours, and try again in {seconds:.0f} s",
                retry_after_seconds=seconds,
            )

    def count(self, address: str) -> None:
        """Count a wrong key."""
        self._used[address] = (self._used_by(address) + 1, self._clock())
        self._used.move_to_end(address)
        if len(self._used) > _MOST_ADDRESSES:
            self._used.popitem(last=False)

    def _used_by(self, address: str) -> float:
        used, at = self._used.get(address, (0.0, self._clock()))
        return max(0.0, used - (self._clock() - at) * self._most / _MINUTE)


def address_of(scope: Scope) -> str:
    """Return the address of a request's client; of IPv6 its network."""
    client = scope.get("client")
    host = str(client[0]) if client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host  # a Unix socket
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, _IPV6_BITS), strict=False))
    return host
