"""Without keys the service answers only this machine."""

from pathlib import Path

import pytest

from app.cli.serve import serve
from app.contracts.errors import ForbiddenError
from app.contracts.settings import ApiSettings, Settings
from app.keys.no_auth import refuse_public_address, refuse_remote

PUBLIC = [
    "0.0.0.0",  # noqa: S104  # what is refused
    "::",
    "::0",
    "",
    "0",
    "127.1",  # an address to the operating system, and too clever for us
    "192.168.0.7",
    "fe80::1",
    "::ffff:0.0.0.0",
    "example.org",
    "localhost.example.org",
    "127.0.0.1.nip.io",
]


@pytest.mark.parametrize("host", PUBLIC)
def test_an_open_service_takes_no_public_address(host: str) -> None:
    with pytest.raises(ValueError, match="without authentication"):
        refuse_public_address(ApiSettings(host=host, is_auth_required=False))
    refuse_public_address(ApiSettings(host=host))  # with keys, any


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_an_open_service_is_on_loopback(host: str) -> None:
    refuse_public_address(ApiSettings(host=host, is_auth_required=False))


@pytest.mark.parametrize("host", PUBLIC)
def test_secateur_serve_refuses_before_it_starts_anything(host: str, tmp_path: Path) -> None:
    api = ApiSettings(host=host, is_auth_required=False)
    settings = Settings(data_dir=tmp_path / "data", api=api)
    with pytest.raises(ValueError, match="without authentication"):
        serve(settings)
    assert not settings.data_dir.exists()


def scope(
    server: tuple[str, int] | None = ("127.0.0.1", 8000), **headers: str
) -> dict[str, object]:
    raw = [(n.replace("_", "-").encode(), value.encode()) for n, value in headers.items()]
    return {"type": "http", "server": server, "headers": raw}


@pytest.mark.parametrize(
    "stranger",
    [
        # uvicorn was started with another --host than the settings name
        scope(("10.0.0.5", 8000)),
        scope(("0.0.0.0", 8000)),  # noqa: S104
        scope(None),
        scope(x_forwarded_for="203.0.113.7"),
        scope(forwarded="for=203.0.113.7"),
        scope(x_real_ip="203.0.113.7"),
        scope(via="1.1 proxy"),
        scope(origin="https://evil.example"),
        scope(origin="https://localhost.evil.example"),
        scope(origin="null"),
        scope(origin="https://["),
        scope(origin="http://[::1"),
    ],
)
def test_requests_from_elsewhere_are_refused(stranger: dict[str, object]) -> None:
    with pytest.raises(ForbiddenError, match="without keys"):
        refuse_remote(stranger, ())


@pytest.mark.parametrize(
    "neighbour",
    [
        scope(),
        scope(("::1", 8000)),
        scope(origin="http://localhost:5173"),
        scope(origin="http://[::1]:8000"),
        scope(origin="https://listed.example"),
    ],
)
def test_requests_from_this_machine_are_accepted(neighbour: dict[str, object]) -> None:
    refuse_remote(neighbour, ("https://listed.example",))
