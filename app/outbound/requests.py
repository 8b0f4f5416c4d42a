"""HTTPS requests to URLs from users, protected against server-side request forgery.

The host name is resolved here, and every address is checked (`app.contracts.addresses`). The
connection goes to a checked address, so a second look-up cannot return another one. Proxies of the
environment are ignored. `worker.webhooks` posts, and reads only the head of the response; redirects
are not followed. `app.fetching` downloads, and every redirect is checked as the first URL was.
"""

import socket
import ssl
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import httpcore

from app.contracts.addresses import Address, may_call, parse_address

_CONNECT_SECONDS = 10.0  # longest wait for a connection to an address, and for its handshake
_LOOK_SECONDS = 1.0  # longest read without a look at whether the file is still wanted
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

Resolve = Callable[[str, int], list[Address]]
Look = Callable[[], None]
"""Raises if the response is no longer wanted."""


class OutboundError(Exception):
    """The request got no response. The message is for the user and reveals nothing internal."""


def resolve(host: str, port: int) -> list[Address]:
    """Return the addresses of a host, in the order in which to try them.

    Raises:
        OSError: The name cannot be resolved.
        UnicodeError: The name is malformed.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [parse_address(str(item[4][0])) for item in found]
    return list(dict.fromkeys(address for address in addresses if address is not None))


def create_tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return a context that trusts the system's authorities and those in ``ca_file``.

    Raises:
        OSError: ``ca_file`` cannot be read.
    """
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


class Outbound:
    """HTTPS client for URLs from users.

    Args:
        tls: Context with the trusted certificate authorities.
        timeout_seconds: Deadline of a request, from the end of the name's look-up.
        are_private_allowed: Whether private and loopback addresses may be called.
        resolve: Resolves a host name.
    """

    def __init__(
        self,
        tls: ssl.SSLContext,
        timeout_seconds: float,
        *,
        are_private_allowed: bool = False,
        resolve: Resolve = resolve,
    ) -> None:
        self._tls, self._timeout_seconds = tls, timeout_seconds
        self._are_private_allowed, self._resolve = are_private_allowed, resolve

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """Post ``body`` and return the status of the response.

        Raises:
            OutboundError: There was no response, or the host must not be called.
        """
        sent = {"Content-Length": str(len(body)), **headers}
        with self._stream("POST", url, sent, body, self._deadline()) as answer:
            return answer.status

    def download(
        self, url: str, most_redirects: int, look: Look = lambda: None
    ) -> Generator[bytes, None, None]:
        """Yield the body of a URL's response in chunks, within the deadline.

        ``look`` is called at least once a second while the server is silent or slow.

        Raises:
            OutboundError: There was no complete response of status 200, or a host must not be
                called.
        """
        ends_at = self._deadline()
        for _ in range(most_redirects + 1):
            headers = {"User-Agent": "secateur", "Accept-Encoding": "identity"}
            with self._stream("GET", url, headers, None, ends_at, look) as answer:
                found = {name.lower(): value for name, value in answer.headers}
                if answer.status in _REDIRECTS:
                    url = _target(url, found.get(b"location", b"").decode("latin-1"))
                    continue
                if answer.status != HTTPStatus.OK:
                    raise OutboundError(f"the server answered with status {answer.status}")
                if found.get(b"content-encoding", b"identity").lower() != b"identity":
                    raise OutboundError("the server compressed the file, which was not asked for")
                yield from answer.iter_stream()
                return
        raise OutboundError(f"the server redirected more than {most_redirects} times")

    def _deadline(self) -> float:
        return time.monotonic() + self._timeout_seconds

    @contextmanager
    def _stream(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        ends_at: float,
        look: Look = lambda: None,
    ) -> Iterator[httpcore.Response]:
        parts = _split(url)
        addresses = self._checked(parts.hostname or "", parts.port or 443)
        backend = _FixedAddressBackend(addresses, ends_at, look)
        # httpcore and not httpx: httpx resolves host names itself and reads the environment.
        pool = httpcore.ConnectionPool(self._tls, max_connections=1, network_backend=backend)
        sent = list({"Host": parts.netloc, **headers}.items())
        missing = "no response" if method == "POST" else "no complete response"
        try:
            with pool, pool.stream(method, url, headers=sent, content=body) as answer:
                yield answer
        except httpcore.ConnectTimeout as error:
            seconds = min(_CONNECT_SECONDS, self._timeout_seconds)
            raise OutboundError(f"no connection within {seconds:g} s") from error
        except httpcore.TimeoutException as error:
            raise OutboundError(f"{missing} within {self._timeout_seconds:g} s") from error
        except httpcore.NetworkError as error:
            raise OutboundError(_explain(error)) from error
        except httpcore.ProtocolError as error:
            raise OutboundError("the response was not HTTP, or ended early") from error

    def _checked(self, host: str, port: int) -> list[Address]:
        """Return the addresses of a host, all of which may be called.

        A name that does not exist and one with a private address give the same error: the
        difference would tell strangers which names the network inside has.
        """
        missing: Exception | None = None
        addresses: list[Address] = []
        try:
            addresses = self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            missing = error
        are_allowed = self._are_private_allowed
        if addresses and all(may_call(a, are_private_allowed=are_allowed) for a in addresses):
            return addresses
        if are_allowed and missing is not None:
            raise OutboundError("the host name could not be resolved") from missing
        raise OutboundError("the host has no address, or one that is not public") from missing


def _split(url: str) -> SplitResult:
    """Return the parts of a URL that may be called.

    Raises:
        OutboundError: It is not an https URL with a host and without a user name or password.
    """
    try:
        parts = urlsplit(url)
        has_port = parts.port != 0
    except ValueError as error:
        raise OutboundError("the URL is malformed") from error
    is_plain = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme != "https" or not parts.hostname or not is_plain or not has_port:
        raise OutboundError("only https URLs with a host can be called")
    if parts.username is not None or parts.password is not None:
        raise OutboundError("the URL contains a user name or a password")
    return parts


def _target(url: str, location: str) -> str:
    """Return the URL that a redirect leads to.

    Raises:
        OutboundError: The redirect's address is malformed.
    """
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise OutboundError("the server redirected to a malformed URL") from error


def _explain(error: httpcore.NetworkError) -> str:
    cause = error.__cause__ or error.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the certificate is not valid: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return "the TLS handshake failed"
    if isinstance(error, httpcore.ConnectError):
        return "the connection failed"
    return "the connection was lost"


class _FixedAddressBackend(httpcore.NetworkBackend):
    """Connects to fixed addresses, ignoring the requested host."""

    def __init__(self, addresses: list[Address], ends_at: float, look: Look) -> None:
        self._addresses, self._ends_at, self._look = addresses, ends_at, look
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002  # one deadline for everything
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        error: Exception = httpcore.ConnectError(f"{host} has no address")
        for index, address in enumerate(self._addresses):
            self._look()
            share = _left(self._ends_at) / (len(self._addresses) - index)
            share = min(share, _CONNECT_SECONDS)
            try:
                stream = self._sockets.connect_tcp(
                    str(address), port, share, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failed:
                error = failed
            else:
                return _DeadlineStream(stream, self._ends_at, self._look)
        raise error


class _DeadlineStream(httpcore.NetworkStream):
    """Limits all operations to one deadline, so a slow sender cannot renew its timeout."""

    def __init__(self, stream: httpcore.NetworkStream, ends_at: float, look: Look) -> None:
        self._stream, self._ends_at, self._look = stream, ends_at, look

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        while True:
            self._look()
            seconds = min(_left(self._ends_at), _LOOK_SECONDS)
            with suppress(httpcore.ReadTimeout):
                return self._stream.read(max_bytes, seconds)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, _left(self._ends_at))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        seconds = min(_left(self._ends_at), _CONNECT_SECONDS)
        stream = self._stream.start_tls(ssl_context, server_hostname, seconds)
        return _DeadlineStream(stream, self._ends_at, self._look)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401  # httpcore's own
        return self._stream.get_extra_info(info)


def _left(ends_at: float) -> float:
    left = ends_at - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the deadline has passed")
    return left
