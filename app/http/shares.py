"""Divides what one process has, such as places and memory, between tenants.

A tenant gets a share of what the others leave free, so there is always something left for the next
one. With a share of a half, one tenant gets a half, two get a third each, three a quarter each.
"""

from collections import Counter


class Shares:
    """Amounts that tenants hold of one capacity. For the event loop's thread only."""

    def __init__(self, capacity: int, share: float) -> None:
        """Start with everything free.

        Args:
            capacity: What there is.
            share: Most that one tenant gets of what the others leave, from 0 to 1.
        """
        self.capacity, self._share = capacity, share
        self._held: Counter[str] = Counter()
        self._total = 0

    @property
    def largest(self) -> int:
        """The most that a tenant may hold when no other does, at least 1."""
        return max(1, int(self._share * self.capacity))

    @property
    def free(self) -> int:
        """What nobody holds."""
        return self.capacity - self._total

    def held(self, tenant: str) -> int:
        """Return what a tenant holds."""
        return self._held.get(tenant, 0)

    def most(self, tenant: str) -> int:
        """Return the most that a tenant may hold now, at least 1."""
        left = self.free + self.held(tenant)
        return max(1, int(self._share * left))

    def add(self, tenant: str, amount: int) -> None:
        """Give an amount to a tenant without a check; take it back if negative."""
        self._total += amount
        self._held[tenant] += amount
        if not self._held[tenant]:
            del self._held[tenant]
