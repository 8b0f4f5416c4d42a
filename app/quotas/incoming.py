"""Bytes of uploads on their way: reserved before they arrive, so that none is received in vain.

A declared size is reserved at once. Without one, room is reserved as the bytes arrive. Two uploads
that fit only alone cannot both be received. Each API process counts its own; the transaction that
adds the rows asks again, with the tenant locked (`app.quotas.service`).
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi.concurrency import run_in_threadpool

from app.contracts.errors import StorageQuotaError, TooLargeError, TooManyUploadsError
from app.contracts.settings import MEBIBYTE, QuotaSettings
from app.records import usage
from app.records.database import Sessions, reading

_SMALLEST_STEP = 1 * MEBIBYTE
_LARGEST_STEP = 64 * MEBIBYTE
_MOST_LOOKS = 3
HOW_TO_FREE = "delete models or data sets with ?permanent=true (what can be restored still counts)"
_LOOK_AGAIN_SECONDS = 0.1


class Room:
    """What is reserved for one upload."""

    def __init__(self, incoming: "Incoming", tenant: str, *, is_repeated: bool) -> None:
        self._incoming, self._tenant, self._is_repeated = incoming, tenant, is_repeated
        self._num_received = self.num_reserved = 0

    async def receive(self, num_bytes: int) -> None:
        """Count bytes that have arrived, and reserve more if needed.

        Raises:
            StorageQuotaError: They exceed the tenant's storage quota.
            TooManyUploadsError: They exceed the tenant's bytes of unfinished uploads.
        """
        self._num_received += num_bytes
        missing = self._num_received - self.num_reserved
        if missing > 0:
            step = min(max(self._num_received, _SMALLEST_STEP), _LARGEST_STEP)
            await self.reserve(missing, step)

    async def reserve(self, least: int, wanted: int) -> None:
        """Reserve ``wanted`` bytes, or as many as there is room for, but at least ``least``.

        Raises:
            StorageQuotaError, TooManyUploadsError: As in `receive`.
        """
        reserve = self._incoming.reserve
        self.num_reserved += await reserve(
            self._tenant, least, max(least, wanted), may_exceed_stored=self._is_repeated
        )


class Incoming:
    """Bytes of unfinished uploads by tenant at this API process. For one event loop."""

    def __init__(
        self, settings: QuotaSettings, sessions: Sessions, undo_seconds: float = 0
    ) -> None:
        self._settings, self._sessions = settings, sessions
        self._undo_seconds = undo_seconds
        self._reserved: Counter[str] = Counter()
        self._num_ended: Counter[str] = Counter()

    def reserved(self, tenant: str) -> int:
        """Return the bytes reserved for a tenant's unfinished uploads."""
        return self._reserved.get(tenant, 0)

    @asynccontextmanager
    async def room(
        self, tenant: str, declared: int, *, is_repeated: bool = False
    ) -> AsyncIterator[Room]:
        """Reserve room for an upload until the block ends.

        Args:
            tenant: The uploader's tenant.
            declared: Size of the files as far as it is known, or 0.
            is_repeated: Whether the request was answered before: its answer is repeated whatever
                the storage quota says.

        Raises:
            TooLargeError: No tenant may have unfinished uploads of this size.
            StorageQuotaError: The size exceeds the tenant's storage quota.
            TooManyUploadsError: The size exceeds the tenant's bytes of unfinished uploads.
        """
        most = self._settings.upload_bytes
        if declared > most:
            raise TooLargeError(f"the upload has {declared} bytes, at most {most} are accepted")
        room = Room(self, tenant, is_repeated=is_repeated)
        try:
            await room.reserve(declared, declared)
            yield room
        finally:
            self._reserved[tenant] -= room.num_reserved
            self._num_ended[tenant] += 1
            if not self._reserved[tenant]:
                del self._reserved[tenant]

    async def reserve(
        self, tenant: str, least: int, wanted: int, *, may_exceed_stored: bool
    ) -> int:
        """Reserve up to ``wanted`` bytes; return how many.

        Raises:
            StorageQuotaError, TooManyUploadsError: There is no room for ``least`` bytes.
        """
        stored = 0
        for look in range(_MOST_LOOKS):
            num_ended = self._num_ended[tenant]
            if not may_exceed_stored:
                stored = await run_in_threadpool(self._stored, tenant)
            is_fresh = num_ended == self._num_ended[tenant]  # else bytes may have changed sides
            if is_fresh and (look or self._room(tenant, stored) >= least):
                break
            if is_fresh and self.reserved(tenant):
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)  # one may be stored and still reserved
        if self._room(tenant, stored) < least:
            raise self._refusal(tenant, least, stored)
        amount = min(wanted, self._room(tenant, stored))
        self._reserved[tenant] += amount
        return amount

    def _stored(self, tenant: str) -> int:
        with reading(self._sessions) as session:
            return usage.count_bytes(session, tenant, self._undo_seconds)

    def _room(self, tenant: str, stored: int) -> int:
        """Return how many bytes more fit; negative if there are too many."""
        most = min(self._settings.stored_bytes - stored, self._settings.upload_bytes)
        return most - self.reserved(tenant)

    def _refusal(
        self, tenant: str, least: int, stored: int
    ) -> StorageQuotaError | TooManyUploadsError:
        reserved, most = self.reserved(tenant), self._settings.upload_bytes
        if reserved + least > most:
            return TooManyUploadsError(
                f"unfinished uploads of the tenant have {reserved} of {most} bytes at most, and "
                f"{least} more do not fit; wait until one has ended"
            )
        return StorageQuotaError(
            f"{stored} of the {self._settings.stored_bytes} stored bytes are used, uploads of "
            f"{reserved} bytes are on their way, and {least} more do not fit; {HOW_TO_FREE}"
        )
