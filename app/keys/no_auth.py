"""No-auth mode: the service without keys, for users of this machine only.

Without keys, every request may do everything. So the settings must name a loopback address, each
request must arrive at one, and it must come neither through a proxy nor from a page of another
origin: a browser on this machine sends requests for any page. `app.http` checks the Host header.
"""

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from app.contracts.errors import ForbiddenError
from app.contracts.settings import ApiSettings

_PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


def refuse_public_address(api: ApiSettings) -> None:
    """Raise ``ValueError`` if authentication is off on an address that others can reach."""
    if not api.is_auth_required and not is_loopback(api.host):
        raise ValueError(
            f"refusing to serve {api.host or 'every address'} without authentication: "
            "use 127.0.0.1, or leave API__IS_AUTH_REQUIRED on"
        )


def refuse_remote(scope: Scope, cors_origins: tuple[str, ...]) -> None:
    """Raise `ForbiddenError` for a request from another machine, a proxy or another origin."""
    server, headers = scope.get("server"), Headers(scope=scope)
    # The server may have been started by hand on an address that differs from the settings.
    if server is None or not is_loopback(str(server[0])):
        raise ForbiddenError("this service runs without keys and only answers on loopback")
    for name in _PROXY_HEADERS:
        if name in headers:
            raise ForbiddenError(
                f"this service runs without keys and refuses requests with the header {name}"
            )
    origin = headers.get("origin")
    if origin is None or origin in cors_origins:
        return
    if not is_loopback(_host_of(origin)):
        raise ForbiddenError(
            f"this service runs without keys and refuses requests from the origin {origin[:99]!r}"
        )


def is_from_this_machine(scope: Scope) -> bool:
    """Return whether a request comes from a loopback address, and not through a proxy."""
    client, headers = scope.get("client"), Headers(scope=scope)
    is_near = client is not None and is_loopback(str(client[0]))
    return is_near and not any(name in headers for name in _PROXY_HEADERS)


def _host_of(origin: str) -> str:
    """Return the host of an origin; empty if it has none, as ``null``, or is malformed."""
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Return whether a host is certainly this machine: a loopback address or localhost."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
