"""The service's address and key, and the conversion between httpx's values and ours."""

import ipaddress
import ssl
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import httpx

from secateur.core.requests import FileBody, Request
from secateur.core.steps import Answer, LostError
from secateur.errors import ConfigurationError

_CONNECT_SECONDS = 10.0
# After these errors no part of the request can have arrived.
_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.LocalProtocolError,
)


@dataclass(frozen=True)
class Connection:
    """A service and a key.

    Attributes:
        url: The service's URL, without a trailing slash.
        api_key: The key; None sends no key.
        timeout_seconds: The longest pause in a response, in addition to `Request.wait_seconds`.
        verify: False, or an SSL context with the certificate authorities to trust.
    """

    url: str
    api_key: str | None
    timeout_seconds: float
    verify: ssl.SSLContext | bool

    def options(self) -> dict[str, Any]:
        """Return the constructor arguments of httpx's clients."""
        # No compression: a few bytes could decompress to gigabytes.
        headers = {
            "user-agent": f"secateur-python/{version('secateur')}",
            "accept-encoding": "identity",
        }
        if self.api_key is not None:
            headers["authorization"] = f"Bearer {self.api_key}"
        return {
            "base_url": self.url,
            "headers": headers,
            "verify": self.verify,
            # A proxy from the environment does not lead to this machine.
            "trust_env": not is_this_machine(self.url),
            "follow_redirects": False,  # never send the key to another address
        }

    def arguments(self, request: Request) -> dict[str, Any]:
        """Return the arguments of httpx's ``request`` and ``stream``, without a file's contents."""
        headers = dict(request.headers)
        if isinstance(request.body, FileBody):
            headers["content-length"] = str(request.body.num_bytes)
        longest = self.timeout_seconds + request.wait_seconds
        return {
            "method": request.endpoint.method,
            "url": request.path,
            "params": dict(request.query),
            "headers": headers,
            "content": b"" if isinstance(request.body, FileBody) else request.body,
            "timeout": httpx.Timeout(longest, connect=min(_CONNECT_SECONDS, self.timeout_seconds)),
        }


def to_answer(response: httpx.Response, body: bytes = b"") -> Answer:
    """Return httpx's response as an `Answer`."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, headers, body)


def to_loss(error: httpx.TransportError) -> LostError:
    """Return httpx's transport error as a `LostError`."""
    reason = str(error) or type(error).__name__
    is_silence = isinstance(error, httpx.ReadTimeout)
    return LostError(reason, was_sent=not isinstance(error, _NOT_SENT), is_silence=is_silence)


def check_url(url: str) -> str:
    """Return a service's URL without its trailing slash.

    Raises:
        ConfigurationError: It is not an HTTP URL.
    """
    try:
        parsed = httpx.URL(url.strip())
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"{url!r} is not a URL: {error}") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ConfigurationError(f"{url!r} is not an HTTP URL such as http://127.0.0.1:8000")
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise ConfigurationError(
            f"the URL of {parsed.host} must not have a user, a query or a fragment"
        )
    return str(parsed).rstrip("/")


def check_key(key: str) -> str:
    """Return a key without surrounding white space.

    Raises:
        ConfigurationError: It has characters that cannot be sent; the message does not show it.
    """
    found = key.strip()
    if not found.isascii() or not found.isprintable() or " " in found:
        raise ConfigurationError("the API key has characters that no key has: copy it again")
    return found


def is_this_machine(url: str) -> bool:
    """Return whether a URL's host is a loopback address."""
    host = httpx.URL(url).host
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
