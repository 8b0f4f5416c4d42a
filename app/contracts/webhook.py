"""The webhook of a job: validation of the user's spec, and its form in the job's row.

The API validates requests with it. `worker.webhooks` signs and sends the deliveries.
"""

import base64
import binascii
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    SecretStr,
    UrlConstraints,
)

from app.contracts.addresses import may_call, parse_address
from app.contracts.errors import ErrorDetail, InvalidInputError
from app.contracts.job import JobState

SECRET_PREFIX = "whsec_"  # noqa: S105  # prefix of a secret, not a secret
EVENTS = tuple(f"job.{state}" for state in JobState)
FINAL_EVENTS = tuple(f"job.{state}" for state in JobState if state.is_final)
_MIN_KEY_BYTES, _MAX_KEY_BYTES = 24, 64


def key_of(secret: str) -> bytes:
    """Return the key bytes of a secret ``whsec_<base64>``.

    Raises:
        ValueError: The secret is malformed, too short or too long. The message does not show it.
    """
    if not secret.startswith(SECRET_PREFIX):
        raise ValueError(f"a secret must be '{SECRET_PREFIX}' followed by base64")
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError(f"the text after '{SECRET_PREFIX}' is not base64") from None
    if not _MIN_KEY_BYTES <= len(key) <= _MAX_KEY_BYTES:
        raise ValueError(
            f"a secret must have {_MIN_KEY_BYTES} to {_MAX_KEY_BYTES} bytes, not {len(key)}"
        )
    return key


def _check_url(url: HttpUrl) -> HttpUrl:
    if url.username is not None or url.password is not None:
        raise ValueError("the URL of a webhook must not contain a user name or a password")
    return url


def _check_secret(secret: SecretStr) -> SecretStr:
    key_of(secret.get_secret_value())
    return secret


def _check_event(name: str) -> str:
    if name not in EVENTS:
        raise ValueError(f"{name[:64]!r} is not one of {', '.join(EVENTS)}")
    return name


class WebhookSpec(BaseModel):
    """The URL that receives events of a job, signed according to Standard Webhooks 1.0."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[
        HttpUrl,
        UrlConstraints(max_length=2000, allowed_schemes=["https"]),
        AfterValidator(_check_url),
    ] = Field(description="https only, to a public host; redirects are not followed.")
    secret: Annotated[SecretStr, AfterValidator(_check_secret)] = Field(
        description="whsec_ followed by base64 of 24 to 64 random bytes. Never shown again."
    )
    events: tuple[Annotated[str, AfterValidator(_check_event)], ...] = Field(
        default=FINAL_EVENTS,
        min_length=1,
        max_length=len(EVENTS),
        description=f"Events to send: some of {', '.join(EVENTS)}.",
    )

    def to_row(self, *, are_private_allowed: bool) -> dict[str, Any]:
        """Return the value for the job's row, with the URL in canonical form.

        Raises:
            InvalidInputError: The host is an address that must not be called.
        """
        address = parse_address(self.url.host or "")
        if address is not None and not may_call(address, are_private_allowed=are_private_allowed):
            raise InvalidInputError(
                f"webhook.url: {address} is not a public address",
                details=[ErrorDetail("/webhook/url", f"{address} is not a public address")],
            )
        return {
            "url": str(self.url),
            "secret": self.secret.get_secret_value(),
            "events": list(dict.fromkeys(self.events)),
        }
