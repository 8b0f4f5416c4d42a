"""Validation of a webhook in a job's request."""

import base64

import pytest
from pydantic import ValidationError

from app.contracts.errors import InvalidInputError
from app.contracts.webhook import WebhookSpec

KEY = base64.b64encode(b"k" * 24).decode()
SECRET = f"whsec_{KEY}"


def spec(**changes: object) -> WebhookSpec:
    return WebhookSpec.model_validate(
        {"url": "https://example.com/hook", "secret": SECRET, **changes}
    )


def test_webhooks_report_final_states_by_default() -> None:
    assert set(spec().events) == {"job.succeeded", "job.failed", "job.cancelled", "job.expired"}


def test_a_row_keeps_the_canonical_url_and_each_event_once() -> None:
    found = spec(url="HTTPS://Bücher.Example:8443/a?b=c", events=["job.running", "job.running"])
    assert found.to_row(are_private_allowed=False) == {
        "url": "https://xn--bcher-kva.example:8443/a?b=c",
        "secret": SECRET,
        "events": ["job.running"],
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": "http://example.com/"}, "https"),
        ({"url": "ftp://example.com/"}, "https"),
        ({"url": "https://"}, "empty host"),
        ({"url": "https://user@example.com/"}, "a user name"),
        ({"url": "https://user:word@example.com/"}, "or a password"),
        ({"url": "https://example.com/" + "a" * 2000}, "2000"),
        ({"url": "https://example.com:99999/"}, "port"),
        ({"secret": KEY}, "whsec_"),
        ({"secret": "whsec_***"}, "base64"),
        ({"secret": "whsec_" + base64.b64encode(b"k" * 23).decode()}, "24 to 64"),
        ({"secret": "whsec_" + base64.b64encode(b"k" * 65).decode()}, "24 to 64"),
        ({"events": []}, "at least 1"),
        ({"events": ["job.exploded"]}, "job.exploded"),
        ({"events": ["progress"]}, "progress"),
        ({"retries": 3}, "Extra"),
    ],
)
def test_a_bad_webhook_is_refused_with_a_reason(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        spec(**changes)
    assert words in str(caught.value.errors()[0]["msg"])


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "[::1]", "[::ffff:10.0.0.1]", "10.0.0.9"]
)
def test_an_address_that_is_not_public_is_refused_at_once(host: str) -> None:
    with pytest.raises(InvalidInputError, match="not a public address") as caught:
        spec(url=f"https://{host}/").to_row(are_private_allowed=False)
    assert caught.value.details[0].pointer == "/webhook/url"


def test_a_private_address_is_accepted_where_a_setting_says_so() -> None:
    assert spec(url="https://10.0.0.9/").to_row(are_private_allowed=True)["url"]
    with pytest.raises(InvalidInputError, match="not a public address"):
        spec(url="https://169.254.169.254/").to_row(are_private_allowed=True)


def test_secrets_do_not_print() -> None:
    assert KEY not in repr(spec())
    assert KEY not in spec().model_dump_json()
