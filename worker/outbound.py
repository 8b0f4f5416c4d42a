"""One HTTPS request to a URL that a user named, which must not reach what the user may not.

The name is resolved here, every address is judged (`app.contracts.addresses`), and the connection
goes to an address that was judged: there is no second look-up to answer differently. Redirects are
not followed, proxies of the environment are not asked, and of the answer only the head is read.
`worker.webhooks` calls it.
"""

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpcore

from app.contracts.addresses import Address, may_call, parse_address

Resolve = Callable[[str, int], list[Address]]


class OutboundError(Exception):
    """There is no answer; the message is for the user and tells nothing about our network."""


class RefusedAddressError(OutboundError):
    """The host has an address that may not be called."""


def resolve(host: str, port: int) -> list[Address]:
    """Return the addresses of a host, in the order in which they should be tried.

    Raises:
        OSError: The name cannot be resolved.
        UnicodeError: It is not a name.
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
    """Posts to URLs of users.

    Args:
        tls: Whom to trust.
        timeout_seconds: For everything after the look-up of the name.
        are_private_allowed: Whether hosts inside may be called.
        resolve: Looks up a name.
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
        """Post ``body`` and return the status of the answer.

        Raises:
            RefusedAddressError: The host has an address that may not be called; nothing was.
            OutboundError: No answer came.
        """
        parts = urlsplit(url)
        port = parts.port or 443
        addresses = self._judged(parts.hostname or "", port)
        backend = _JudgedBackend(addresses, time.monotonic() + self._timeout_seconds)
        # Not httpx, whose client reads the environment and follows; this is the layer below it.
        pool = httpcore.ConnectionPool(self._tls, max_connections=1, network_backend=backend)
        sent = {"Host": parts.netloc, "Content-Length": str(len(body)), **headers}
        try:
            with pool, pool.stream("POST", url, headers=list(sent.items()), content=body) as answer:
                return answer.status
        except httpcore.TimeoutException as error:
            raise OutboundError(f"no answer within {self._timeout_seconds:g} s") from error
        except httpcore.NetworkError as error:
            raise OutboundError(_explain(error)) from error
        except httpcore.ProtocolError as error:
            raise OutboundError("the answer was not HTTP") from error

    def _judged(self, host: str, port: int) -> list[Address]:
        try:
            addresses = self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise OutboundError("the host's name could not be resolved") from error
        for address in addresses:
            if not may_call(address, are_private_allowed=self._are_private_allowed):
                raise RefusedAddressError("the host has an address that is not public")
        if not addresses:
            raise OutboundError("the host has no address")
        return addresses


def _explain(error: httpcore.NetworkError) -> str:
    cause = error.__cause__ or error.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the certificate was refused: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return "TLS could not be agreed on"
    if isinstance(error, httpcore.ConnectError):
        return "the connection could not be made"
    return "the connection broke"


class _JudgedBackend(httpcore.NetworkBackend):
    """Connects to the addresses it was given, whatever host it is asked for."""

    def __init__(self, addresses: list[Address], ends_at: float) -> None:
        self._addresses, self._ends_at = addresses, ends_at
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
            share = _left(self._ends_at) / (len(self._addresses) - index)
            try:
                stream = self._sockets.connect_tcp(
                    str(address), port, share, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failed:
                error = failed
            else:
                return _DeadlineStream(stream, self._ends_at)
        raise error


class _DeadlineStream(httpcore.NetworkStream):
    """Gives every operation only what is left of one deadline: slow drips do not renew it."""

    def __init__(self, stream: httpcore.NetworkStream, ends_at: float) -> None:
        self._stream, self._ends_at = stream, ends_at

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, _left(self._ends_at))

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
        stream = self._stream.start_tls(ssl_context, server_hostname, _left(self._ends_at))
        return _DeadlineStream(stream, self._ends_at)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401  # httpcore's own
        return self._stream.get_extra_info(info)


def _left(ends_at: float) -> float:
    left = ends_at - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the deadline has passed")
    return left
