"""Which middlewares there are, and in which order."""

from collections.abc import Sequence

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from app.contracts.settings import Settings
from app.http.body import BodyMiddleware
from app.http.gate import GateMiddleware
from app.http.hot import HotMiddleware, HotRoute
from app.http.request import RequestMiddleware
from app.metrics.instruments import Metrics

# A page elsewhere can give its own name to a loopback address. A key protects from what it then
# asks for; without keys, its name must not be taken.
_THIS_MACHINE = ("localhost", "127.0.0.1", "[::1]")
_CORS_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_CORS_HEADERS = (
    *("Authorization", "Content-Type", "Content-Digest", "Idempotency-Key", "If-Match"),
    *("If-None-Match", "Last-Event-ID", "Range"),
)
_CORS_EXPOSED = ("X-Request-Id", "Traceparent", "ETag", "Location", "Retry-After", "Content-Range")


def add_middleware(
    app: FastAPI, settings: Settings, metrics: Metrics, hot_routes: Sequence[HotRoute]
) -> None:
    """Add them, the innermost first: refusals are logged too."""
    api = settings.api
    hosts = api.trusted_hosts or (() if api.is_auth_required else _THIS_MACHINE)
    app.add_middleware(HotMiddleware, routes=hot_routes)
    app.add_middleware(BodyMiddleware, http=settings.http, limits=settings.limits)
    app.add_middleware(GateMiddleware, http=settings.http, hosts=hosts)
    if api.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=api.cors_origins,
            allow_methods=_CORS_METHODS,
            allow_headers=_CORS_HEADERS,
            expose_headers=_CORS_EXPOSED,
        )
    app.add_middleware(RequestMiddleware, metrics=metrics)
