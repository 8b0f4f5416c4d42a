"""Webhooks from a real service to a real receiver."""

import json
import time
from pathlib import Path

from tests.fixtures.api import zip_bytes
from tests.fixtures.receiver import running_receiver
from tests.fixtures.service import serving
from worker.webhooks import sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105  # the published example


def test_a_failed_job_is_delivered_to_the_receiver(tmp_path: Path) -> None:
    with running_receiver(tmp_path) as receiver:
        receiver.answers = [500]
        settings = {
            "SECATEUR_WEBHOOKS__ARE_PRIVATE_ADDRESSES_ALLOWED": "true",
            "SECATEUR_WEBHOOKS__CA_FILE": str(receiver.ca_file),
        }
        with serving(tmp_path / "data", **settings) as service:
            model = service.client.post("/v1/models", content=zip_bytes()).json()["id"]
            webhook = {"url": f"https://localhost:{receiver.port}/hook", "secret": SECRET}
            body = {"model": model, "webhook": webhook}
            job = service.post_job(**body)
            end = time.monotonic() + 120
            while len(receiver.received) < 2:  # refused once, told again
                assert time.monotonic() < end
                time.sleep(0.2)
        log = "".join(path.read_text(errors="replace") for path in tmp_path.rglob("*.log"))
    first, second = receiver.received
    content = json.loads(first.body)
    assert (content["type"], content["data"]["job"]) == ("job.failed", job)
    assert content["data"]["code"] == "model_rejected"
    assert second.body == first.body
    for request in (first, second):
        sent_at = int(request.headers["webhook-timestamp"])
        expected = sign(request.headers["webhook-id"], sent_at, request.body, SECRET)
        assert expected.items() <= request.headers.items()
    assert second.headers["webhook-id"] == first.headers["webhook-id"]
    assert "webhook.settled" in log
    assert SECRET[6:] not in log
