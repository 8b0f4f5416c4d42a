"""Fetches a file from a user's URL as if the user had uploaded it, with the same limits."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cached_property

from fastapi import Request
from fastapi.concurrency import iterate_in_threadpool, run_in_threadpool

from app.contracts.errors import AbandonedError, ErrorDetail, ForbiddenError, InvalidInputError
from app.contracts.settings import FetchSettings, Settings
from app.contracts.sources import filename_of, https_url
from app.http.errors import BusyError
from app.outbound.requests import Outbound, OutboundError, create_tls_context
from app.spool import Room, Spool, Upload
from app.uploads import beginning_check, uploads_folder
from secateur.core.formats import Use


class Fetcher:
    """Fetches files for one API process. For one event loop."""

    def __init__(self, settings: FetchSettings) -> None:
        self.settings, self._num_active = settings, 0

    @cached_property
    def outbound(self) -> Outbound:
        """The client; made when it is first used, as it reads certificates."""
        return Outbound(
            create_tls_context(self.settings.ca_file),
            self.settings.timeout_seconds,
            are_private_allowed=self.settings.are_private_addresses_allowed,
        )

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place.

        Raises:
            ForbiddenError: The operator has turned fetching off.
            BusyError: As many files are fetched as may be at once.
        """
        if not self.settings.is_allowed:
            raise ForbiddenError("this service fetches no URLs; upload the file")
        if self._num_active >= self.settings.concurrent:
            raise BusyError(f"{self._num_active} files are being fetched; try again soon")
        self._num_active += 1
        try:
            yield
        finally:
            self._num_active -= 1


@asynccontextmanager
async def fetched(
    request: Request,
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
    with fetcher.place():
        chunks = fetcher.outbound.download(source, fetcher.settings.most_redirects)
        try:
            async for chunk in iterate_in_threadpool(chunks):
                if await request.is_disconnected():
                    raise AbandonedError
                await spool.write(chunk)
            yield await spool.finish()
        except OutboundError as error:
            raise _refusal(f"the file could not be fetched: {error}") from error
        finally:
            await run_in_threadpool(chunks.close)
            spool.discard()


def _refusal(message: str) -> InvalidInputError:
    return InvalidInputError(f"url: {message}", details=[ErrorDetail("/url", message)])
