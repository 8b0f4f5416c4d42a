"""Send due webhook deliveries, signed according to Standard Webhooks 1.0.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

Deliveries are claimed in one transaction, sent with no session open, and settled each in its own
transaction. `delivery_turns` chooses them, so that neither a tenant with many deliveries nor a
receiver that never answers holds up the others. Delivery is at least once: if a worker dies after
sending, the delivery is sent again under the same id.
"""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from http import HTTPStatus

import structlog

from app.contracts.settings import WebhookSettings
from app.contracts.webhook import key_of
from app.outbound.requests import Outbound, OutboundError, create_tls_context
from app.records import webhooks
from app.records.database import Sessions, reading
from app.records.webhooks import Delivery
from worker.breaker import Breaker
from worker.delivery_turns import choose, route_of
from worker.metrics import WorkerMetrics

log = structlog.get_logger(__name__)

_LOOK_UP_SECONDS = 60.0  # the resolver has its own, longer timeout
_LOOKED_AT = 64  # due deliveries of a tenant that are considered at once
_OUTCOMES = {
    webhooks.mark_delivered.__name__: "delivered",
    webhooks.back_off.__name__: "retried",
    webhooks.give_up.__name__: "given_up",
}
_LONGEST_SECONDS = 86_400.0  # age after which a delivery to a silent receiver is given up


def create_deliverer(
    settings: WebhookSettings,
    sessions: Sessions,
    stopping: threading.Event | None = None,
    metrics: WorkerMetrics | None = None,
) -> "Deliverer":
    """Return a deliverer that sends over the network.

    Args:
        settings: Settings of webhooks.
        sessions: Factory of database sessions.
        stopping: Set when this worker shuts down: no delivery is begun then.
        metrics: Metrics of this worker.

    Raises:
        OSError: The file of certificates cannot be read.
    """
    outbound = Outbound(
        create_tls_context(settings.ca_file),
        settings.timeout_seconds,
        are_private_allowed=settings.are_private_addresses_allowed,
    )
    return Deliverer(settings, sessions, outbound, stopping=stopping, metrics=metrics)


class Deliverer:
    """Sends deliveries: several at a time, of tenants in turn, leaving silent receivers alone."""

    def __init__(
        self,
        settings: WebhookSettings,
        sessions: Sessions,
        outbound: Outbound,
        clock: Callable[[], float] = time.time,
        stopping: threading.Event | None = None,
        metrics: WorkerMetrics | None = None,
    ) -> None:
        self._settings, self._sessions = settings, sessions
        self._outbound, self._clock = outbound, clock
        self._stopping = stopping or threading.Event()
        self._metrics = metrics or WorkerMetrics()
        self._breaker = Breaker(settings.breaker_failures, settings.breaker_seconds)
        self._lock = threading.Lock()

    def deliver(self) -> None:
        """Send deliveries until none is due; return at once while another call does so."""
        if not self._lock.acquire(blocking=False):
            return  # otherwise slow receivers would occupy every thread of this worker
        try:
            self._send_all()
        finally:
            self._lock.release()

    def _send_all(self) -> None:
        in_flight: dict[Future[None], Delivery] = {}
        with ThreadPoolExecutor(self._settings.concurrent) as pool:
            while True:
                for delivery in self._take(in_flight.values()):
                    in_flight[pool.submit(self._send, delivery)] = delivery
                if not in_flight:
                    return
                # A slow receiver holds its own slot only: look again when any other is free.
                ended, _ = wait(in_flight, self._settings.deliver_seconds, FIRST_COMPLETED)
                for future in ended:
                    del in_flight[future]
                    future.result()

    def _take(self, in_flight: Collection[Delivery]) -> list[Delivery]:
        """Claim deliveries for the free slots."""
        num_slots = self._settings.concurrent - len(in_flight)
        if num_slots == 0 or self._stopping.is_set():
            return []
        with reading(self._sessions) as session:
            due = webhooks.list_due(session, per_tenant=_LOOKED_AT)
        choice = choose(
            due,
            in_flight,
            self._breaker,
            num_slots=num_slots,
            per_tenant=self._settings.concurrent_per_tenant,
        )
        if not choice.chosen and not choice.put_off:
            return []
        hold_seconds = self._settings.timeout_seconds + _LOOK_UP_SECONDS
        with self._sessions.begin() as session:
            webhooks.put_off(session, choice.put_off)
            return webhooks.take_due(
                session, limit=num_slots, hold_seconds=hold_seconds, among=choice.chosen
            )

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
        except OutboundError as error:
            self._breaker.record(route_of(delivery), is_answered=False)
            is_old = self._clock() - delivery.created_at > _LONGEST_SECONDS
            is_silent = self._breaker.is_on_trial(route_of(delivery))
            self._try_later(delivery, str(error), is_hopeless=is_old and is_silent)
        else:
            self._breaker.record(route_of(delivery), is_answered=True)
            if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
                self._settle(delivery, webhooks.mark_delivered, str(status))
            elif status == HTTPStatus.GONE:  # Standard Webhooks: disable the endpoint
                self._settle(delivery, webhooks.give_up, str(status))
            else:
                self._try_later(delivery, str(status))

    def _try_later(self, delivery: Delivery, answer: str, *, is_hopeless: bool = False) -> None:
        is_last = is_hopeless or delivery.attempt >= self._settings.max_attempts
        self._settle(delivery, webhooks.give_up if is_last else webhooks.back_off, answer)

    def _settle(self, delivery: Delivery, settle: Callable[..., None], answer: str) -> None:
        with self._sessions.begin() as session:
            settle(session, delivery, answer)
        self._metrics.webhook_attempts.labels(_OUTCOMES[settle.__name__]).inc()
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
