"""Limits declared beside a route with ``@limits(…)``; the middlewares look them up by path."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.routing import BaseRoute, Route

from app.contracts.settings import LimitSettings

F = TypeVar("F", bound=Callable[..., Any])

_KEY = "limits"
_MOST_FOUND = 1000  # paths in the cache
# Allowance for multipart boundaries and part headers, on top of the files.
ENVELOPE_BYTES = 64 * 1024


@dataclass(frozen=True)
class RouteLimits:
    """Limits on the requests of one route.

    Attributes:
        body: Returns the maximum body size in bytes.
        needs_key: Whether a request needs a key. Deny is the default.
        is_on_disk: Whether files are spooled to disk.
        takes_json: Whether a route of files also takes JSON, which stays in memory.
        has_depth_limit: Whether to limit the depth of JSON here; False if the parser does.
        has_binary_tail: Whether a header may say how much of the body is JSON; tensors follow.
        may_be_compressed: Whether the route decompresses bodies itself.
        is_event_stream: Whether a response may be an event stream.
    """

    body: Callable[[LimitSettings], int] = lambda limits: limits.json_bytes
    needs_key: bool = True
    is_on_disk: bool = False
    takes_json: bool = False
    has_depth_limit: bool = True
    has_binary_tail: bool = False
    may_be_compressed: bool = False
    is_event_stream: bool = False


DEFAULT = RouteLimits()
OPEN = RouteLimits(needs_key=False)
EVENTS = RouteLimits(is_event_stream=True)
INFERENCE = RouteLimits(lambda limits: limits.infer_bytes, has_depth_limit=False)
COMPRESSED_INFERENCE = RouteLimits(
    lambda limits: limits.infer_bytes,
    has_depth_limit=False,
    has_binary_tail=True,
    may_be_compressed=True,
)
MODEL_FILE = RouteLimits(lambda limits: limits.model_bytes + ENVELOPE_BYTES, is_on_disk=True)
DATASET_FILE = RouteLimits(lambda limits: limits.dataset_bytes + ENVELOPE_BYTES, is_on_disk=True)
LATENCIES_FILE = RouteLimits(
    lambda limits: limits.latencies_bytes + ENVELOPE_BYTES, is_on_disk=True
)
FILES_OF_A_JOB = RouteLimits(
    lambda limits: limits.model_bytes + limits.dataset_bytes + ENVELOPE_BYTES,
    is_on_disk=True,
    takes_json=True,
)


def limits(of_route: RouteLimits) -> Callable[[F], F]:
    """Declare the limits of a route on its function."""

    def declare(function: F) -> F:
        vars(function)[_KEY] = of_route
        return function

    return declare


class LimitsByPath:
    """Finds the limits of a path's route, with a cache. Not thread-safe: one event loop only."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._declared = [
            (route.path_regex, declared)
            for route in routes
            if isinstance(route, Route)
            and (declared := getattr(route.endpoint, _KEY, None)) is not None
        ]
        self._found: dict[str, RouteLimits] = {}

    def find(self, path: str) -> RouteLimits:
        """Return the limits declared for the path's route, or the default."""
        found = self._found.get(path)
        if found is None:
            if len(self._found) >= _MOST_FOUND:
                self._found.clear()
            matching = (limits for regex, limits in self._declared if regex.match(path))
            found = self._found[path] = next(matching, DEFAULT)
        return found
