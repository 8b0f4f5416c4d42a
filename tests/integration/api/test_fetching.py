"""Models and data sets that the service fetches from URLs."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.contracts.sources import filename_of, https_url
from app.fetching.service import Fetcher
from tests.fixtures.api import Api, running_api, zip_bytes
from tests.fixtures.receiver import Receiver, running_receiver
from tests.fixtures.serving import serving

MODEL, DATA = zip_bytes(), zip_bytes(b"x.npy")


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    with running_receiver(tmp_path_factory.mktemp("receiver")) as found:
        found.pages = {
            "/nets/my%20net.pt2?token=hunter2": "/moved.pt2",
            "/moved.pt2": MODEL,
            "/data.npz": DATA,
            "/odd.pt2": b"\x80\x04pickle" + bytes(100_000),
            "/large.pt2": MODEL + bytes(200_000),
        }
        yield found


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Api]:
    fetch = {"are_private_addresses_allowed": True, "ca_file": receiver.ca_file}
    folder = tmp_path_factory.mktemp("fetching") / "data"
    with running_api(folder, fetch=fetch, limits={"model_bytes": 100_000}) as found:
        yield found


def post(api: Api, receiver: Receiver, path: str, kind: str = "models", **more: Any) -> Any:
    url = path if ":" in path else f"https://localhost:{receiver.port}{path}"
    return api.client.post(f"/v1/{kind}:fetch", json={"url": url, **more})


def test_a_model_is_fetched_as_if_it_were_uploaded(api: Api, receiver: Receiver) -> None:
    response = post(api, receiver, "/nets/my%20net.pt2?token=hunter2")
    assert response.status_code == 201, response.text
    model = response.json()
    assert (model["name"], model["filename"], model["status"]) == (
        "my net",
        "my net.pt2",
        "validating",
    )
    assert response.headers["location"] == f"/v1/models/{model['id']}"
    assert api.client.post("/v1/models", content=MODEL).json()["sha256"] == model["sha256"]
    assert "hunter2" not in response.text  # a presigned URL is a secret
    assert [path.name for path in (api.context.settings.scratch_dir / "uploads").iterdir()] == []


def test_a_data_set_is_fetched_with_its_preprocessing(api: Api, receiver: Receiver) -> None:
    for how, preset in (("imagenet", "imagenet"), ({"mean": [0.5], "std": [0.5]}, None)):
        made = post(api, receiver, "/data.npz", "datasets", name="d", preprocess=how).json()
        assert (made["name"], made["format"], made["preprocess"]["preset"]) == ("d", "npz", preset)
    odd = post(api, receiver, "/data.npz", "datasets", preprocess="image-net")
    assert (odd.status_code, "did you mean 'imagenet'?" in odd.text) == (422, True)


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/missing.pt2", 422, "answered with status 404"),
        ("/odd.pt2", 415, "torch.export"),
        ("/large.pt2", 413, "100000"),
        ("http://localhost/net.pt2", 422, "is not a URL of https, s3, gs"),
        ("file:///etc/passwd", 422, "is not a URL of https, s3, gs"),
        ("s3://only-a-bucket", 422, "s3://BUCKET/KEY"),
        ("https://169.254.169.254/latest/meta-data", 422, "not public"),
        ("https://user:secret@localhost/net.pt2", 422, "user name or a password"),
        ("https://localhost:1/net.pt2", 422, "the connection failed"),
        ("https://[", 422, "malformed"),
        ("https://[::1/net.pt2", 422, "malformed"),
        ("https://\u2100.test/net.pt2", 422, "malformed"),
    ],
)
def test_what_cannot_be_fetched_is_refused(
    api: Api, receiver: Receiver, path: str, status: int, words: str
) -> None:
    response = post(api, receiver, path)
    assert response.status_code == status, response.text
    assert words in response.json()["detail"]


def test_by_default_nothing_inside_is_called(tmp_path: Path, receiver: Receiver) -> None:
    before = receiver.num_connections
    with running_api(tmp_path / "data", fetch={"ca_file": receiver.ca_file}) as api:
        for host in ("localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0x7f000001"):
            url = f"https://{host}:{receiver.port}/moved.pt2"
            response = post(api, receiver, url)
            assert response.status_code == 422, response.text
            assert "not public" in response.text or "resolved" in response.text, host
    assert receiver.num_connections == before


def test_fetching_has_places_and_can_be_turned_off(tmp_path: Path, receiver: Receiver) -> None:
    with running_api(tmp_path / "data", fetch={"is_allowed": False}) as api:
        assert post(api, receiver, "/moved.pt2").status_code == 403
    with running_api(tmp_path / "busy", fetch={"concurrent": 1}) as api:
        fetcher = api.client.app.state.fetcher  # type: ignore[attr-defined]
        with fetcher.place("other"):
            assert post(api, receiver, "/moved.pt2").json()["code"] == "busy"
        assert post(api, receiver, "/moved.pt2").status_code == 422  # the place is free again


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("s3://bucket/a b/net.pt2", "https://bucket.s3.amazonaws.com/a%20b/net.pt2"),
        ("s3://my.bucket/net.pt2", "https://s3.amazonaws.com/my.bucket/net.pt2"),
        ("gs://bucket/net.pt2?x#y", "https://storage.googleapis.com/bucket/net.pt2%3Fx%23y"),
        ("https://a.test/b?c", "https://a.test/b?c"),
    ],
)
def test_public_objects_of_buckets_have_https_urls(url: str, wanted: str) -> None:
    assert https_url(url) == wanted
    for evil in ("s3://a@b.test/x", "s3://a:1/x", "s3://../x", "s3://evil.test#/x", "S3://b/x"):
        with pytest.raises(ValueError, match="is not"):
            https_url(evil)
    assert filename_of("https://a.test/b%2Fc/d%20e.npz?f=/g") == "d e.npz"


def test_a_tenant_leaves_places_for_the_others(api: Api, receiver: Receiver) -> None:
    fetcher: Fetcher = api.client.app.state.fetcher  # type: ignore[attr-defined]
    with ExitStack() as held:
        for _ in range(fetcher.settings.concurrent // 2):
            held.enter_context(fetcher.place("default"))
        refused = post(api, receiver, "/moved.pt2")
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_uploads")
        assert "its share of 8" in refused.json()["detail"]
        with fetcher.place("other"), fetcher.place("other"), fetcher.place("third"):
            pass
    assert post(api, receiver, "/moved.pt2").status_code == 201


def test_a_fetch_ends_when_its_client_leaves(tmp_path: Path, receiver: Receiver) -> None:
    fetch = {"are_private_addresses_allowed": True, "ca_file": receiver.ca_file}
    receiver.pages["/drip.pt2"] = 0
    body = {"url": f"https://localhost:{receiver.port}/drip.pt2"}
    with serving(tmp_path / "data", fetch=fetch) as api:
        fetcher: Fetcher = api.app.state.fetcher
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"http://{api.address}/v1/models:fetch", json=body, headers=api.key(), timeout=1
            )
        end = time.monotonic() + 5
        while fetcher.held("default") and time.monotonic() < end:
            time.sleep(0.05)
        assert fetcher.held("default") == 0
