"""Hot routes, called thousands of times a second, without FastAPI's layers.

FastAPI's routing, exit stacks, dependencies and exception layers took 0.3 ms of CPU a request, more
than a small inference. Hot routes are plain functions that the innermost of our middlewares calls;
FastAPI's router has them as well, to refuse other methods. Each brings its own part of the OpenAPI
document.
"""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, ExceptionHandler, Receive, Scope, Send

from app.contracts.errors import OverloadedError
from app.openapi import Operation

# Called with every refusal for load and its response.
Guard = Callable[[Scope, Response, OverloadedError], None]

_MOST_FOUND = 1000  # paths whose route is remembered


class HotRoute(Route):
    """A route that says which one it is, as FastAPI's do: metrics and logs go by it.

    Attributes:
        operation: What the OpenAPI document says of it.
    """

    def __init__(
        self, path: str, endpoint: Callable[[Request], Awaitable[Response]], operation: Operation
    ) -> None:
        super().__init__(path, endpoint, methods=["POST"])
        self.operation = operation

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether this route is meant, and what it adds to the scope."""
        match, child_scope = super().matches(scope)
        if match is not Match.NONE:
            child_scope["route"] = self
        return match, child_scope


class HotMiddleware:
    """Answers requests to hot routes; errors go to the application's handlers."""

    def __init__(self, app: ASGIApp, routes: Sequence[HotRoute], guard: Guard) -> None:
        self._app, self._routes, self._guard = app, routes, guard
        ends = {route.path.rpartition("/")[2] for route in routes}
        self._ends = tuple(f"/{end}" for end in ends)
        self._found: dict[tuple[str, str], tuple[HotRoute, Scope]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        # The end of the path spares most requests the patterns of all routes.
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
        """Return the route of a request, and what it adds to the scope."""
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
            handler = _handler(request, error)
            if handler is None:
                raise
            answer = handler(request, error)  # type: ignore[arg-type]  # none is a WebSocket's
            response = cast("Response", await answer if inspect.isawaitable(answer) else answer)
            if isinstance(error, OverloadedError):
                self._guard(request.scope, response, error)
            return response


def _handler(request: Request, error: Exception) -> ExceptionHandler | None:
    handlers = request.app.exception_handlers
    return next((handlers[kind] for kind in type(error).__mro__ if kind in handlers), None)
