"""Answers to people who open an unknown address of this host in a browser.

Programs get a problem as everywhere. A browser gets a page with links; the address of a page of the
dashboard without its ``#``, such as ``/jobs/job_…``, leads to that page.
"""

from collections.abc import Awaitable, Callable
from html import escape
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.routing import Match

from app.contracts.errors import ServiceError, UnauthenticatedError
from app.web.assets import load_assets
from app.web.routes import PAGE_HEADERS

_NOT_FOUND = 404
_API = ("v1", "v2")
_PLACES = ("models", "datasets", "jobs", "compare", "sweeps", "try", "queues", "operate")
_STYLES = ("tokens", "base", "layout", "parts")
_MOST_SHOWN = 200

Handler = Callable[[Request, Exception], Response | Awaitable[Response]]


def install_missing_page(app: FastAPI) -> None:
    """Answer browsers with a page where no route has the path; others keep their problem."""
    app.add_exception_handler(
        StarletteHTTPException, _unless_browser(app.exception_handlers[StarletteHTTPException])
    )
    # The gate asks for a key before a path is looked up.
    app.add_exception_handler(
        UnauthenticatedError, _unless_browser(app.exception_handlers[ServiceError])
    )


def _unless_browser(plain: Any) -> Handler:  # noqa: ANN401  # Starlette's handler
    def answer(request: Request, error: Exception) -> Response | Awaitable[Response]:
        if _is_for_a_person(request) and not _has_route(request):
            return _page(request.scope["path"])
        found: Response | Awaitable[Response] = plain(request, error)
        return found

    return answer


def _is_for_a_person(request: Request) -> bool:
    return (
        request.method in {"GET", "HEAD"}
        and "text/html" in request.headers.get("accept", "")
        and _first_part(request.scope["path"]) not in _API
    )


def _first_part(path: str) -> str:
    return path.removeprefix("/").partition("/")[0]


def _has_route(request: Request) -> bool:
    routes = request.app.router.routes
    return any(route.matches(request.scope)[0] is not Match.NONE for route in routes)


def _page(path: str) -> Response:
    if _first_part(path) in _PLACES:
        return RedirectResponse(f"/#/{quote(path.removeprefix('/'))}", status_code=307)
    digest = load_assets().digest
    styles = "\n".join(
        f'<link rel="stylesheet" href="/static/{digest}/css/{name}.css">' for name in _STYLES
    )
    shown = escape(path[:_MOST_SHOWN])
    text = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Page not found · Secateur</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="/static/{digest}/icon.svg" type="image/svg+xml">
<script src="/static/{digest}/theme.js"></script>
{styles}
</head>
<body>
<main>
<h1>Page not found</h1>
<p>This service has no page at <code>{shown}</code>.</p>
<p class="actions"><a class="button is-primary" href="/">Open the dashboard</a>
<a class="button" href="/docs">Read the API reference</a></p>
</main>
</body>
</html>
"""
    return HTMLResponse(text, _NOT_FOUND, PAGE_HEADERS)
