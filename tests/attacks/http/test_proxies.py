"""Headers of proxies are believed only from proxies that the settings name."""

from pathlib import Path

import httpx
import pytest

from tests.fixtures.serving import Serving, serving

MOST = 3


def ask(server: Serving, path: str, key: str | None = None, **headers: str) -> httpx.Response:
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.get(f"http://{server.address}{path}", headers=names, trust_env=False)


def wrong_keys(server: Serving, *clients: str) -> list[int]:
    """Send wrong keys, each for a client that the header names, and return the statuses."""
    return [
        ask(
            server, "/v1/jobs", f"sec_{number:026d}_" + "A" * 43, X_Forwarded_For=client
        ).status_code
        for number, client in enumerate(clients)
    ]


def test_a_client_names_no_other_address_for_itself(tmp_path: Path) -> None:
    with serving(tmp_path / "data", api={"wrong_keys": MOST}) as server:
        found = wrong_keys(server, *(f"203.0.113.{number}" for number in range(MOST + 1)))
    assert found == [401] * MOST + [429]


@pytest.mark.parametrize("trusted", ["127.0.0.1", "127.0.0.0/8"])
def test_a_trusted_proxy_names_its_clients(trusted: str, tmp_path: Path) -> None:
    settings = {"wrong_keys": MOST, "trusted_proxies": [trusted]}
    with serving(tmp_path / "data", api=settings) as server:
        # What a client sends itself comes before the address that the proxy adds.
        evading = [f"203.0.113.{number}, 198.51.100.7" for number in range(MOST + 1)]
        assert wrong_keys(server, *evading) == [401] * MOST + [429]
        assert wrong_keys(server, "198.51.100.8") == [401]


def test_without_keys_no_proxy_is_believed(tmp_path: Path) -> None:
    settings = {"is_auth_required": False, "trusted_proxies": ["127.0.0.1"]}
    with serving(tmp_path / "data", api=settings) as server:
        assert ask(server, "/v1/jobs").status_code == 200
        for client in ("203.0.113.1", "127.0.0.1"):
            assert ask(server, "/v1/jobs", X_Forwarded_For=client).status_code == 403


def test_metrics_need_a_key_except_on_this_machine(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        assert ask(server, "/metrics").status_code == 200
        for proxied in ({"X_Forwarded_For": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1"}):
            assert ask(server, "/metrics", **proxied).status_code == 401
            for scope, status in (("infer", 403), ("metrics:read", 200)):
                key = server.key("tenant", scope)["Authorization"].removeprefix("Bearer ")
                assert ask(server, "/metrics", key, **proxied).status_code == status
