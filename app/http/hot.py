"""Hot routes: served without FastAPI's layers, thousands of times a second.

FastAPI's routing, exit stacks, dependencies and exception layers took 0.3 ms of CPU per request,
more than a small inference. A hot route is a plain function, called by the innermost of our
middlewares. It is also registered with FastAPI's router, which refuses other methods. Each route
supplies its own part of the OpenAPI document.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app.contracts.errors import OverloadedError
from app.http.problems import answer_to
from app.openapi import Operation

# Called with each overload error and its response.
Guard = Callable[[Scope, Response, OverloadedError], None]

_MOST_FOUND = 1000  # paths in the route cache


class HotRoute(Route):
    """Route that puts itself into the scope, as FastAPI's do, for metrics and logs.

    Attributes:
        operation: OpenAPI description of this route.
    """

    def __init__(
        self, path: str, endpoint: Callable[[Request], Awaitable[Response]], operation: Operation
    ) -> None:
        super().__init__(path, endpoint, methods=["POST"])
        self.operation = operation

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return how well the request matches, and the values to add to its scope."""
        match, child_scope = super().matches(scope)
        if match is not Match.NONE:
            child_scope["route"] = self
        return match, child_scope


class HotMiddleware:
    """ASGI middleware that serves hot routes; the application's handlers answer errors."""

    def __init__(self, app: ASGIApp, routes: Sequence[HotRoute], guard: Guard) -> None:
        self._app, self._routes, self._guard = app, routes, guard
        ends = {route.path.rpartition("/")[2] for route in routes}
        self._ends = tuple(f"/{end}" for end in ends)
        self._found: dict[tuple[str, str], tuple[HotRoute, Scope]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        # Checking the path's suffix first spares most requests a match against every pattern.
        if scope["type"] == "http" and scope["path"].endswith(self._ends):
            found = self._find(scope)
            if found is not None:
                route, child_scope = found
                scope.update(child_scope)
                response = await self._answer(route, Request(scope, receive))
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _find(self, scope: Scope) -> tuple[HotRoute, Scope] | None:
        """Return the matching route and its scope values, or None."""
        key = (scope["method"], scope["path"])
        found = self._found.get(key)
        if found is None:
            for route in self._routes:
                match, child_scope = route.matches(scope)
                if match is Match.FULL:
                    if len(self._found) >= _MOST_FOUND:
                        self._found.clear()
                    found = self._found[key] = (route, child_scope)
                    break
        return found

    async def _answer(self, route: HotRoute, request: Request) -> Response:
        try:
            return cast("Response", await route.endpoint(request))
        except Exception as error:
            response = await answer_to(request, error)
            if response is None:
                raise
            if isinstance(error, OverloadedError):
                self._guard(request.scope, response, error)
            return response
