"""Fetches a file from a user's URL as if the user had uploaded it, with the same limits."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cached_property

from fastapi import Request
from fastapi.concurrency import iterate_in_threadpool, run_in_threadpool

from app.contracts.errors import (
    AbandonedError,
    ErrorDetail,
    ForbiddenError,
    InvalidInputError,
    TooManyUploadsError,
)
from app.contracts.settings import Settings
from app.contracts.sources import filename_of, https_url
from app.http.disconnect import disconnect_check
from app.http.errors import BusyError
from app.http.shares import Shares
from app.outbound.requests import Outbound, OutboundError, create_tls_context
from app.spool import Room, Spool, Upload
from app.uploads import beginning_check, uploads_folder
from secateur.core.formats import Use


class Fetcher:
    """Fetches files for one API process. For one event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings.fetch
        self._places = Shares(settings.fetch.concurrent, settings.quotas.share)

    @cached_property
    def outbound(self) -> Outbound:
        """The client; made when it is first used, as it reads certificates."""
        return Outbound(
            create_tls_context(self.settings.ca_file),
            self.settings.timeout_seconds,
            are_private_allowed=self.settings.are_private_addresses_allowed,
        )

    def held(self, tenant: str) -> int:
        """Return how many files are being fetched for a tenant."""
        return self._places.held(tenant)

    @contextmanager
    def place(self, tenant: str) -> Iterator[None]:
        """Hold a place.

        Raises:
            ForbiddenError: The operator has turned fetching off.
            BusyError: As many files are fetched as may be at once.
            TooManyUploadsError: The tenant holds its share of the places.
        """
        if not self.settings.is_allowed:
            raise ForbiddenError("this service fetches no URLs; upload the file")
        if self._places.free < 1:
            raise BusyError(f"{self._places.capacity} files are being fetched; try again soon")
        if (held := self.held(tenant)) >= self._places.most(tenant):
            raise TooManyUploadsError(
                f"{held} files are being fetched for the tenant, its share of "
                f"{self._places.capacity} at once; try again when one has arrived"
            )
        self._places.add(tenant, 1)
        try:
            yield
        finally:
            self._places.add(tenant, -1)


@asynccontextmanager
async def fetched(  # noqa: PLR0913  # what the request says
    request: Request,
    tenant: str,
    url: str,
    use: Use,
    *,
    filename: str | None,
    room: Room,
    architecture: str | None = None,
) -> AsyncIterator[Upload]:
    """Fetch a file and yield it as an upload.

    A file of a wrong format is refused as soon as its first bytes arrive.

    Raises:
        InvalidInputError: The URL is not accepted, or the file could not be fetched.
        TooLargeError: The file is larger than an upload may be.
        UnsupportedMediaError: The format is not accepted for ``use``.
        AbandonedError: The client has hung up.
    """
    fetcher: Fetcher = request.app.state.fetcher
    settings: Settings = request.app.state.context.settings
    limits = settings.limits
    limit = limits.model_bytes if use == "model" else limits.dataset_bytes
    try:
        source = https_url(url)
    except ValueError as error:
        raise _refusal(str(error)) from error
    spool = Spool(
        uploads_folder(settings.scratch_dir),
        limit,
        filename or filename_of(url),
        beginning_check(use, architecture),
        room,
    )
    with fetcher.place(tenant):
        is_gone = disconnect_check(request.scope)

        def look() -> None:
            if is_gone():
                raise AbandonedError

        chunks = fetcher.outbound.download(source, fetcher.settings.most_redirects, look)
        try:
            async for chunk in iterate_in_threadpool(chunks):
                await spool.write(chunk)
            yield await spool.finish()
        except OutboundError as error:
            raise _refusal(f"the file could not be fetched: {error}") from error
        finally:
            spool.discard()  # first: a cancelled task waits for nothing more
            await run_in_threadpool(chunks.close)


def _refusal(message: str) -> InvalidInputError:
    return InvalidInputError(f"url: {message}", details=[ErrorDetail("/url", message)])
