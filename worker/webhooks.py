"""Send due webhook deliveries, signed according to Standard Webhooks 1.0.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

A round claims deliveries in one transaction, sends them with no session open, and settles each in
its own transaction. Delivery is at least once: if a worker dies after sending, the delivery is sent
again under the same id.
"""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http import HTTPStatus

import structlog

from app.contracts.settings import WebhookSettings
from app.contracts.webhook import key_of
from app.records import webhooks
from app.records.database import Sessions
from app.records.webhooks import Delivery
from worker.outbound import Outbound, OutboundError, RefusedAddressError, create_tls_context

log = structlog.get_logger(__name__)

_AT_ONCE = 16
_LOOK_UP_SECONDS = 60.0  # the resolver has its own, longer timeout


def create_deliverer(settings: WebhookSettings, sessions: Sessions) -> "Deliverer":
    """Return a deliverer that sends over the network.

    Raises:
        OSError: The file of certificates cannot be read.
    """
    outbound = Outbound(
        create_tls_context(settings.ca_file),
        settings.timeout_seconds,
        are_private_allowed=settings.are_private_addresses_allowed,
    )
    return Deliverer(settings, sessions, outbound)


class Deliverer:
    """Sends deliveries, one round at a time."""

    def __init__(
        self,
        settings: WebhookSettings,
        sessions: Sessions,
        outbound: Outbound,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._sessions = settings, sessions
        self._outbound, self._clock = outbound, clock
        self._lock = threading.Lock()

    def deliver(self) -> None:
        """Send one round of due deliveries; return at once while another round runs."""
        if not self._lock.acquire(blocking=False):
            return  # otherwise slow receivers would occupy every thread of this worker
        try:
            self._round()
        finally:
            self._lock.release()

    def _round(self) -> None:
        hold_seconds = self._settings.timeout_seconds + _LOOK_UP_SECONDS
        with self._sessions.begin() as session:
            taken = webhooks.take_due(session, limit=_AT_ONCE, hold_seconds=hold_seconds)
        if not taken:
            return
        with ThreadPoolExecutor(len(taken)) as pool:
            list(pool.map(self._send, taken))

    def _send(self, delivery: Delivery) -> None:
        if delivery.attempt > self._settings.max_attempts:  # a worker died during the last attempt
            self._settle(delivery, webhooks.give_up, "no answer was recorded")
            return
        body = body_of(delivery)
        headers = {
            "content-type": "application/json",
            "user-agent": "secateur",
            **sign(delivery.id, int(self._clock()), body, delivery.secret),
        }
        try:
            status = self._outbound.post(delivery.url, headers, body)
        except RefusedAddressError as error:
            self._settle(delivery, webhooks.give_up, str(error))
        except OutboundError as error:
            self._try_later(delivery, str(error))
        else:
            if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
                self._settle(delivery, webhooks.mark_delivered, str(status))
            elif status == HTTPStatus.GONE:  # Standard Webhooks: disable the endpoint
                self._settle(delivery, webhooks.give_up, str(status))
            else:
                self._try_later(delivery, str(status))

    def _try_later(self, delivery: Delivery, answer: str) -> None:
        is_last = delivery.attempt >= self._settings.max_attempts
        self._settle(delivery, webhooks.give_up if is_last else webhooks.back_off, answer)

    def _settle(self, delivery: Delivery, settle: Callable[..., None], answer: str) -> None:
        with self._sessions.begin() as session:
            settle(session, delivery, answer)
        log.info(
            "webhook.settled",
            job_id=delivery.job_id,
            delivery_id=delivery.id,
            attempt=delivery.attempt,
            outcome=settle.__name__,
            answer=answer,
        )


def sign(delivery_id: str, timestamp: int, body: bytes, secret: str) -> dict[str, str]:
    """Return the three headers by which a receiver verifies sender, time and body."""
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    digest = hmac.digest(key_of(secret), signed, hashlib.sha256)
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def body_of(delivery: Delivery) -> bytes:
    """Return the JSON body: the event, and the ids that the receiver needs to query the API."""
    happened_at = datetime.fromtimestamp(delivery.created_at, UTC).isoformat()
    content = {
        "type": delivery.type,
        "timestamp": happened_at.replace("+00:00", "Z"),
        "data": {
            **delivery.data,
            "job": delivery.job_id,
            "event": delivery.event_number,
            "status": delivery.type.removeprefix("job."),
        },
    }
    return json.dumps(content, separators=(",", ":")).encode()
