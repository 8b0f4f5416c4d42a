"""Where a client connects, what its requests carry, and what httpx makes of both, as our values."""

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
# Nothing of the request can have arrived.
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
        url: Of the service, without a slash at its end.
        api_key: None: no key is sent.
        timeout_seconds: The longest pause in an answer, beside what it may wait on purpose.
        verify: False, or a context with the authorities to trust.
    """

    url: str
    api_key: str | None
    timeout_seconds: float
    verify: ssl.SSLContext | bool

    def options(self) -> dict[str, Any]:
        """Return what both of httpx's clients are made with."""
        headers = {"user-agent": f"secateur-python/{version('secateur')}"}
        if self.api_key is not None:
            headers["authorization"] = f"Bearer {self.api_key}"
        return {
            "base_url": self.url,
            "headers": headers,
            "verify": self.verify,
            # A proxy of the environment is no way to this machine.
            "trust_env": not is_this_machine(self.url),
            "follow_redirects": False,  # the key goes nowhere else
        }

    def arguments(self, request: Request) -> dict[str, Any]:
        """Return what both of httpx's clients are called with; a file's bytes are left out."""
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
    """Return what httpx received."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, headers, body)


def to_loss(error: httpx.TransportError) -> LostError:
    """Return what became of a request that httpx has no answer to."""
    reason = str(error) or type(error).__name__
    is_silence = isinstance(error, httpx.ReadTimeout)
    return LostError(reason, was_sent=not isinstance(error, _NOT_SENT), is_silence=is_silence)


def check_url(url: str) -> str:
    """Return a service's URL without a slash at its end.

    Raises:
        ConfigurationError: It is no URL of HTTP.
    """
    try:
        parsed = httpx.URL(url.strip())
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"{url!r} is no URL: {error}") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ConfigurationError(f"{url!r} is no URL such as http://127.0.0.1:8000")
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise ConfigurationError(f"the URL of {parsed.host} has parts that a service's has not")
    return str(parsed).rstrip("/")


def check_key(key: str) -> str:
    """Return a key without the white space around it.

    Raises:
        ConfigurationError: It cannot be sent; the message does not show it.
    """
    found = key.strip()
    if not found.isascii() or not found.isprintable() or " " in found:
        raise ConfigurationError("the API key holds characters that no key has: copy it again")
    return found


def is_this_machine(url: str) -> bool:
    """Return whether a URL leads to a loopback address."""
    host = httpx.URL(url).host
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
