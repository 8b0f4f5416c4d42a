"""``/shared/{token}``: the report behind a link. Needs no key.

The report is the file that the job stored: one page with its pictures inside and without scripts.
"""

import hashlib

import structlog
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, Response, StreamingResponse

from app.artifacts.routes import PAGE_POLICY
from app.contracts.errors import NotFoundError, RateLimitedError
from app.contracts.settings import ShareSettings
from app.dependencies import ContextDep
from app.http.limits import OPEN, limits
from app.keys.wrong import WrongKeys, address_of
from app.quotas.rates import Rates
from app.shares import service

log = structlog.get_logger(__name__)

PREFIX = "/shared"
_NOT_FOUND = 404
_MOST_FAMILIAR = 10_000
_HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "Referrer-Policy": "no-referrer",  # the address is the secret
    "X-Robots-Tag": "noindex, nofollow, noarchive",
    "Cache-Control": "no-store",  # a revoked link shows nothing
    "Cross-Origin-Opener-Policy": "same-origin",
}
_NO_LINK = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>This link does not work</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<style>
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 4rem auto; padding: 0 1rem }
</style>
</head>
<body>
<main>
<h1>This link does not work</h1>
<p>It has expired, was revoked, or is incomplete. Ask the person who sent it for a new one.</p>
</main>
</body>
</html>
"""

router = APIRouter(include_in_schema=False)


class ShareGuard:
    """Rates of one API process: views of each link, and wrong links of each address."""

    def __init__(self, settings: ShareSettings) -> None:
        self.views = Rates(settings.views_per_second)
        self.wrong = WrongKeys(settings.wrong_per_minute, what="links")
        self._familiar: set[bytes] = set()

    def refuse(self, address: str, token: str) -> None:
        """Refuse an address that guesses, but no link that has worked: others may share it.

        Raises:
            WrongKeysError: The address has asked for too many wrong links.
        """
        if _digest(token) not in self._familiar:
            self.wrong.refuse(address)

    def opened(self, token: str) -> None:
        """Remember a link that works, by its hash."""
        if len(self._familiar) >= _MOST_FAMILIAR:
            self._familiar.clear()
        self._familiar.add(_digest(token))

    def failed(self, address: str, token: str) -> None:
        """Count a wrong link, and forget it if it worked before."""
        self._familiar.discard(_digest(token))
        self.wrong.count(address)


@router.api_route(PREFIX + "/{token}", methods=["GET", "HEAD"])
@limits(OPEN)
async def show(request: Request, token: str, context: ContextDep) -> Response:
    """Return the report behind a link, or a page that says that the link does not work.

    Raises:
        WrongKeysError: The client's address has asked for too many wrong links.
        RateLimitedError: The link is opened too often.
    """
    guard: ShareGuard = request.app.state.share_guard
    address = address_of(request.scope)
    guard.refuse(address, token)
    if not context.settings.shares.are_allowed:
        return HTMLResponse(_NO_LINK, _NOT_FOUND, _HEADERS)
    try:
        share, report = await run_in_threadpool(service.open_link, context.sessions, token)
    except NotFoundError:
        guard.failed(address, token)
        return HTMLResponse(_NO_LINK, _NOT_FOUND, _HEADERS)
    guard.opened(token)
    seconds = guard.views.take(share.id)
    if seconds > 0:
        raise RateLimitedError(
            f"this link is opened too often; try again in {seconds:.3f} s",
            retry_after_seconds=seconds,
        )
    log.info("share.viewed", share=share.id, job_id=share.job_id, address=address)
    headers = {**_HEADERS, "Content-Length": str(report.num_bytes)}
    media_type = "text/html; charset=utf-8"
    if request.method == "HEAD":
        return Response(None, 200, headers, media_type)
    chunks = context.store.stream(report.sha256, 0, report.num_bytes)
    return StreamingResponse(chunks, 200, headers, media_type)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()
