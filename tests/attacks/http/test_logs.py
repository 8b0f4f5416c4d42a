"""No secret reaches a log: unit tests, and the log of a real process."""

import json
from pathlib import Path

import httpx
import pytest

from app.telemetry.redaction import redact, redact_fields
from tests.attacks.server import running_server
from tests.fixtures.api import zip_bytes

KEY = "sec_01JD0000000000000000000000_" + "s" * 43
LINK = KEY.replace("sec_", "shr_")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"key {KEY} was used", "key sec_01JD0000000000000000000000_[redacted] was used"),
        (f"/shared/{LINK}", "/shared/shr_01JD0000000000000000000000_[redacted]"),
        ("Authorization: Bearer abcdefghijkl", "Authorization: Bearer [redacted]"),
        ("b'authorization', b'Basic dXNlcjpodW50ZXIy'", "b'authorization', b'Basic [redacted]'"),
        ("secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "secret whsec_[redacted]"),
        ("postgresql+psycopg://u:p%40ss@db:5432/s", "postgresql+psycopg://u:[redacted]@db:5432/s"),
        ("redis://:hunter2@redis:6379/0", "redis://:[redacted]@redis:6379/0"),
        (
            "https://b.s3.amazonaws.com/k?X-Amz-Credential=AK%2F1&X-Amz-Signature=ab12&x=1",
            "https://b.s3.amazonaws.com/k?X-Amz-Credential=[redacted]&X-Amz-Signature=[redacted]&x=1",
        ),
        ("GET /v1/jobs?api_key=abc&limit=1", "GET /v1/jobs?api_key=[redacted]&limit=1"),
        ("http://127.0.0.1:8000/v1/jobs?after=job_1", "http://127.0.0.1:8000/v1/jobs?after=job_1"),
        ("bearer of news", "bearer of news"),
    ],
)
def test_text_that_looks_like_a_secret_is_redacted(text: str, kept: str) -> None:
    assert redact(text) == kept


def test_secret_fields_are_redacted_by_name() -> None:
    event = {
        "event": "x",
        "headers": {"Authorization": "a", "Set-Cookie": "b", "Host": "c"},
        "webhook": [{"secret": "d", "url": "e"}],
        "redis_password": b"f",
        "num_tokens": 5,
    }
    assert redact_fields(None, "info", event) == {
        "event": "x",
        "headers": {"Authorization": "[redacted]", "Set-Cookie": "[redacted]", "Host": "c"},
        "webhook": [{"secret": "[redacted]", "url": "e"}],
        "redis_password": "[redacted]",
        "num_tokens": 5,
    }


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_real_process_writes_no_secret(log_format: str, tmp_path: Path) -> None:
    """With uvicorn's own access log, which shows whole queries, and everything at level debug."""
    program = ("uvicorn", "--factory", "tests.attacks.http.leaky:app_factory")
    settings = {"LOG_LEVEL": "debug", "LOG_FORMAT": log_format}
    with running_server(tmp_path / "data", program=program, **settings) as server:
        with httpx.Client(
            base_url=server.url, headers=server.authorization, trust_env=False
        ) as client:
            model = client.post("/v1/models", content=zip_bytes()).json()["id"]
            webhook = {"url": "https://u:hunter2@example.org/", "secret": "whsec_" + "c2VjcmV0" * 4}
            client.post("/v1/jobs", json={"model": model, "webhook": webhook})
            client.get("/v1/models", params={"token": "hunter2", "X-Amz-Signature": "hunter2"})
            client.get("/v1/models", headers={"Authorization": "Bearer hunter2hunter2"})
            assert client.get("/leak").status_code == 500
        log = server.log.read_text()
    assert "GET /v1/models?token=[redacted]" in log
    assert "request.failed" in log
    assert "Traceback" in log
    for secret in (server.key.split("_", 2)[2], "hunter2", "c2VjcmV0"):
        assert secret not in log
    if log_format == "json":
        assert all(json.loads(line)["event"] for line in log.splitlines() if line.startswith("{"))
