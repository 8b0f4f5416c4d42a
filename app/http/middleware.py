"""The middlewares and their order; FastAPI, with its own middlewares, is inside them.

Added through FastAPI they would run inside its outer layers (telemetry, a body limit, errors),
which hot requests do not need.
"""

from collections.abc import Sequence

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app.contracts.settings import Settings
from app.http.body import BodyMiddleware
from app.http.callers import Identify
from app.http.gate import GateMiddleware
from app.http.hot import Guard, HotMiddleware, HotRoute
from app.http.limits import LimitsByPath
from app.http.request import RequestMiddleware
from app.telemetry.metrics import Metrics
from app.telemetry.spans import Spans

# A page can point a name of its own at a loopback address (DNS rebinding). Keys protect from that;
# without keys, only these names are accepted.
_THIS_MACHINE = ("localhost", "127.0.0.1", "[::1]")
_CORS_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_CORS_HEADERS = (
    *("Authorization", "Content-Type", "Content-Digest", "Idempotency-Key", "If-Match"),
    *("If-None-Match", "Last-Event-ID", "Range"),
)
_CORS_EXPOSED = ("X-Request-Id", "Traceparent", "ETag", "Location", "Retry-After", "Content-Range")


class Application(FastAPI):
    """FastAPI behind our middlewares."""

    _outer: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or a lifespan event."""
        if self._outer is None or scope["type"] == "lifespan":
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        await self._outer(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        """Remove Starlette's handler of unexpected errors: `RequestMiddleware` has its own."""
        stack = super().build_middleware_stack()
        assert isinstance(stack, ServerErrorMiddleware)  # noqa: S101  # always the outermost
        return stack.app

    def add_outer(  # noqa: PLR0913, PLR0917  # the parts of the middlewares
        self,
        settings: Settings,
        metrics: Metrics,
        spans: Spans,
        hot_routes: Sequence[HotRoute],
        routes: Sequence[BaseRoute],
        guard: Guard,
        identify: Identify,
    ) -> None:
        """Add the middlewares, innermost first, so that refusals are logged too.

        Args:
            settings: Settings of the service.
            metrics: Instruments that count requests.
            spans: Spans of requests.
            hot_routes: Routes answered without FastAPI's layers.
            routes: All other routes that may declare limits.
            guard: Called with every refusal due to load.
            identify: Finds the caller of a request by its head.
        """
        api = settings.api
        hosts = api.trusted_hosts or (() if api.is_auth_required else _THIS_MACHINE)
        outer: ASGIApp = HotMiddleware(super().__call__, hot_routes, guard)
        by_path = LimitsByPath([*hot_routes, *routes])
        share = settings.quotas.share
        outer = BodyMiddleware(outer, settings.http, settings.limits, by_path, share)
        outer = GateMiddleware(outer, settings.http, hosts, by_path, share, identify)
        if api.cors_origins:
            outer = CORSMiddleware(
                outer,
                allow_origins=api.cors_origins,
                allow_methods=_CORS_METHODS,
                allow_headers=_CORS_HEADERS,
                expose_headers=_CORS_EXPOSED,
            )
        self._outer = RequestMiddleware(outer, metrics, spans)
