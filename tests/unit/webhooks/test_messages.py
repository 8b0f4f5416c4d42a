"""The signature and the body of a webhook."""

import json

from app.records.webhooks import Delivery
from worker.webhooks import body_of, sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105  # the published example


def test_the_signature_is_that_of_the_reference_implementation() -> None:
    # From `sign function works` in the tests of github.com/standard-webhooks/standard-webhooks.
    headers = sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', SECRET)
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_the_body_tells_the_event_and_not_the_secret() -> None:
    delivery = Delivery(
        id="whd_1", tenant="t", attempt=1, job_id="job_1", event_number=4, type="job.failed",
        data={"code": "nan_loss", "message": "ü", "job": "other"}, created_at=1614265330.5,
        url="https://example.com/token", secret=SECRET,
    )  # fmt: skip
    body = body_of(delivery)
    assert json.loads(body) == {
        "type": "job.failed",
        "timestamp": "2021-02-25T15:02:10.500000Z",
        "data": {
            "job": "job_1", "event": 4, "status": "failed", "code": "nan_loss", "message": "ü",
        },
    }  # fmt: skip
    assert SECRET[6:] not in body.decode() + repr(delivery)
