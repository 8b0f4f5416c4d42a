"""Requests to users' URLs against a real HTTPS server."""

import socket
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from app.contracts.addresses import Address
from app.contracts.errors import AbandonedError
from app.outbound.requests import Outbound, OutboundError, create_tls_context
from tests.fixtures.receiver import HOST, Receiver, running_receiver


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with running_receiver(tmp_path) as found:
        yield found


def outbound(
    receiver: Receiver,
    *addresses: str,
    is_inside: bool = True,
    is_trusted: bool = True,
    timeout_seconds: float = 5,
) -> Outbound:
    """Return a sender that resolves every name to ``addresses``."""

    def resolve(_host: str, _port: int) -> list[Address]:
        return [ip_address(text) for text in addresses or ("127.0.0.1",)]

    tls = create_tls_context(receiver.ca_file if is_trusted else None)
    return Outbound(tls, timeout_seconds, are_private_allowed=is_inside, resolve=resolve)


def url(receiver: Receiver, host: str = HOST, path: str = "/hook?a=b") -> str:
    return f"https://{host}:{receiver.port}{path}"


def test_the_checked_address_is_called_and_the_certificate_is_that_of_the_name(
    receiver: Receiver,
) -> None:
    status = outbound(receiver).post(url(receiver), {"webhook-id": "1"}, b"body")
    assert status == 200
    (request,) = receiver.received
    assert (request.path, request.body) == ("/hook?a=b", b"body")
    assert request.headers["host"] == f"{HOST}:{receiver.port}"
    assert request.headers["webhook-id"] == "1"


def test_a_literal_address_works_where_it_is_allowed(receiver: Receiver) -> None:
    tls = create_tls_context(receiver.ca_file)
    sender = Outbound(tls, 5, are_private_allowed=True)  # the real resolver
    assert sender.post(url(receiver, "127.0.0.1"), {}, b"") == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_without_the_setting_loopback_is_refused_and_nothing_connects(
    host: str, receiver: Receiver
) -> None:
    sender = Outbound(create_tls_context(receiver.ca_file), 5)  # the real resolver
    with pytest.raises(OutboundError, match="not public"):
        sender.post(url(receiver, host), {}, b"")
    assert receiver.num_connections == 0


@pytest.mark.parametrize(
    "addresses",
    [("8.8.8.8", "127.0.0.1"), ("127.0.0.1", "8.8.8.8"), ("::ffff:127.0.0.1",), ("::1",)],
)
def test_one_private_address_is_enough_to_refuse(
    addresses: tuple[str, ...], receiver: Receiver
) -> None:
    with pytest.raises(OutboundError, match="not public"):
        outbound(receiver, *addresses, is_inside=False).post(url(receiver), {}, b"")
    assert receiver.num_connections == 0


def test_the_next_address_is_tried(receiver: Receiver) -> None:
    sender = outbound(receiver, "127.0.0.2", "127.0.0.1")  # nothing listens on the first
    assert sender.post(url(receiver), {}, b"") == 200


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.answers = [302]
    assert outbound(receiver).post(url(receiver), {}, b"") == 302
    assert [request.path for request in receiver.received] == ["/hook?a=b"]


def test_proxies_of_the_environment_are_ignored(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert outbound(receiver).post(url(receiver), {}, b"") == 200


def test_a_certificate_for_another_name_is_refused_before_anything_is_sent(
    receiver: Receiver,
) -> None:
    with pytest.raises(OutboundError, match="certificate is not valid: Hostname mismatch"):
        outbound(receiver).post(url(receiver, "other.test"), {}, b"")
    assert receiver.received == []


def test_a_certificate_of_a_stranger_is_refused(receiver: Receiver) -> None:
    with pytest.raises(OutboundError, match="certificate is not valid: self-signed"):
        outbound(receiver, is_trusted=False).post(url(receiver), {}, b"")
    assert receiver.received == []


def test_a_slow_answer_ends_at_the_deadline(receiver: Receiver) -> None:
    receiver.answers = [0]
    began_at = time.monotonic()
    with pytest.raises(OutboundError, match="no response within 1 s"):
        outbound(receiver, timeout_seconds=1).post(url(receiver), {}, b"")
    assert time.monotonic() - began_at < 3


def _unknown(_host: str, _port: int) -> list[Address]:
    raise socket.gaierror


def test_names_inside_cannot_be_told_from_names_that_do_not_exist(receiver: Receiver) -> None:
    def inside(_host: str, _port: int) -> list[Address]:
        return [ip_address("10.0.0.7")]

    tls, said = create_tls_context(None), []
    for resolve in (_unknown, inside, lambda _host, _port: []):
        with pytest.raises(OutboundError) as error:
            Outbound(tls, 5, resolve=resolve).post(url(receiver), {}, b"")
        said.append((type(error.value), str(error.value)))
    assert len(set(said)) == 1, said


def test_connection_and_tls_failures_have_a_reason(receiver: Receiver) -> None:
    tls = create_tls_context(None)
    with pytest.raises(OutboundError, match="could not be resolved"):
        Outbound(tls, 5, are_private_allowed=True, resolve=_unknown).post(url(receiver), {}, b"")
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        with pytest.raises(OutboundError, match=r"no connection within 0\.5 s"):
            outbound(receiver, timeout_seconds=0.5).post(f"https://{HOST}:{port}/", {}, b"")
    with pytest.raises(OutboundError, match="the connection failed"):
        outbound(receiver).post(f"https://{HOST}:{port}/", {}, b"")


@pytest.mark.parametrize("is_silent", [False, True])
def test_a_download_ends_when_it_is_no_longer_wanted(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, *, is_silent: bool
) -> None:
    if is_silent:
        monkeypatch.setattr("tests.fixtures.receiver.DRIP_SECONDS", 4.0)
    receiver.pages = {"/slow": 0}
    began_at = time.monotonic()

    looks = iter(range(100))

    def look() -> None:
        if receiver.received and next(looks) == 1:
            raise AbandonedError

    sender = outbound(receiver, timeout_seconds=60)
    with pytest.raises(AbandonedError):
        list(sender.download(url(receiver, path="/slow"), 3, look))
    assert time.monotonic() - began_at < 3


def fetch(receiver: Receiver, path: str = "/a", hosts: dict[str, str] | None = None) -> bytes:
    known = {HOST: "127.0.0.1", **(hosts or {})}
    sender = Outbound(
        create_tls_context(receiver.ca_file),
        1,
        are_private_allowed=True,
        resolve=lambda host, _: [ip_address(known[host])],
    )
    return b"".join(sender.download(url(receiver, path=path), 3))


def test_a_file_is_downloaded_through_redirects(receiver: Receiver) -> None:
    receiver.pages = {"/a": "/b?c=d", "/b?c=d": url(receiver, path="/e"), "/e": b"file" * 50_000}
    assert fetch(receiver) == b"file" * 50_000
    assert [request.path for request in receiver.received] == ["/a", "/b?c=d", "/e"]
    assert {request.headers["accept-encoding"] for request in receiver.received} == {"identity"}
    assert all("authorization" not in request.headers for request in receiver.received)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("http://receiver.test/", "only https"),
        ("file:///etc/passwd", "only https"),
        ("//metadata.test/latest", "not public"),
        ("https://metadata.test/latest", "not public"),
        ("https://user:password@receiver.test/", "user name or a password"),
        ("https://receiver.test:99999/", "malformed"),
        ("https://:80/nowhere", "only https"),
        ("https://[/", "malformed"),
        ("//[::1/", "malformed"),
        ("/a", "more than 3 times"),
    ],
)
def test_every_redirect_is_checked(receiver: Receiver, target: str, words: str) -> None:
    receiver.pages = {"/a": target}
    with pytest.raises(OutboundError, match=words):
        fetch(receiver, hosts={"metadata.test": "169.254.169.254"})
    assert {request.path for request in receiver.received} == {"/a"}


@pytest.mark.parametrize(
    ("path", "page", "words"),
    [
        ("/missing", 404, "answered with status 404"),
        ("/packed", b"x", "compressed"),
        ("/cut", b"x", "ended early"),
        ("/slow", 0, "no complete response within 1 s"),
    ],
)
def test_only_a_complete_file_is_downloaded(
    receiver: Receiver, path: str, page: bytes | int, words: str
) -> None:
    receiver.pages = {path: page}
    with pytest.raises(OutboundError, match=words):
        fetch(receiver, path)
