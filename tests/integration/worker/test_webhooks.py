"""Deliveries to a real HTTPS server, verified as the documentation describes."""

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from app.contracts.job import JobKind
from app.contracts.settings import WebhookSettings
from app.records import jobs, webhooks
from app.records.database import Sessions, create_database, create_sessions
from app.records.events import list_events
from app.records.jobs import NewJob
from app.records.tables import WebhookRow
from tests.fixtures.databases import migrate
from tests.fixtures.receiver import Received, Receiver, running_receiver
from worker.webhooks import Deliverer, create_deliverer

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105  # the published example
PAGE = Path("docs/architecture/05-jobs.md")


@dataclass
class Scene:
    """A receiver, the rows, and the deliverer."""

    receiver: Receiver
    sessions: Sessions

    def deliverer(self, **settings: object) -> Deliverer:
        values = {
            "are_private_addresses_allowed": True,
            "ca_file": self.receiver.ca_file,
            "timeout_seconds": 5,
            **settings,
        }
        return create_deliverer(WebhookSettings.model_validate(values), self.sessions)

    def cancelled_job(self, tenant: str = "t", port: int | None = None) -> str:
        url = f"https://localhost:{port or self.receiver.port}/hook"
        webhook = {"url": url, "secret": SECRET, "events": ["job.cancelled"]}
        with self.sessions.begin() as session:
            new = NewJob(tenant, JobKind.PRUNE, {}, {}, "cpu", 3, webhook=webhook)
            job_id = jobs.create_job(session, new).id
            jobs.request_cancel(session, job_id)
        return job_id

    def rows(self) -> Sequence[WebhookRow]:
        with self.sessions() as session:
            return session.scalars(select(WebhookRow)).all()

    def make_due(self) -> None:
        with self.sessions.begin() as session:
            for row in session.scalars(select(WebhookRow)):
                row.not_before = 0

    def last_event(self, job_id: str) -> tuple[str, dict[str, Any]]:
        with self.sessions() as session:
            event = list_events(session, job_id=job_id, after=0, limit=100)[-1]
        return event.type, event.data


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    engine = create_database(f"sqlite:///{tmp_path / 'test.db'}")
    migrate(engine)
    with running_receiver(tmp_path) as receiver:
        yield Scene(receiver, create_sessions(engine))
    engine.dispose()


@pytest.fixture(scope="module")
def verify() -> Callable[..., dict[str, Any]]:
    """The verification function from the documentation."""
    (code,) = re.findall(r"```python\n(.*?def verify.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102  # our own page
    found: Callable[..., dict[str, Any]] = names["verify"]
    return found


def test_a_failed_delivery_is_retried_under_the_same_id(
    scene: Scene, verify: Callable[..., dict[str, Any]]
) -> None:
    scene.receiver.answers = [500]
    job_id = scene.cancelled_job()
    deliverer = scene.deliverer()
    deliverer.deliver()
    (row,) = scene.rows()
    assert (row.state, row.attempt, row.last_answer) == ("pending", 1, "500")
    deliverer.deliver()  # it is not due
    assert len(scene.receiver.received) == 1
    scene.make_due()
    deliverer.deliver()
    (row,) = scene.rows()
    assert (row.state, row.attempt, row.last_answer) == ("delivered", 2, "200")
    first, second = scene.receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == row.id
    assert first.body == second.body
    for request in (first, second):
        content = verify(SECRET, request.headers, request.body)
        assert content["type"] == "job.cancelled"
        assert content["data"] == {"job": job_id, "event": 2, "status": "cancelled"}
    assert scene.last_event(job_id)[0] == "job.cancelled"


def test_a_request_that_was_changed_or_is_old_does_not_verify(
    scene: Scene, verify: Callable[..., dict[str, Any]]
) -> None:
    scene.cancelled_job()
    scene.deliverer().deliver()
    (request,) = scene.receiver.received
    forged: list[Received] = [
        Received("/", request.headers, request.body + b" "),
        Received("/", {**request.headers, "webhook-id": "whd_other"}, request.body),
        Received("/", {**request.headers, "webhook-timestamp": str(int(time.time()) - 1)}, b"{}"),
        Received("/", {**request.headers, "webhook-timestamp": "1614265330"}, request.body),
    ]
    for each in forged:
        with pytest.raises(ValueError, match=r"signature|old"):
            verify(SECRET, each.headers, each.body)


def test_a_receiver_that_always_fails_is_given_up_after_its_attempts(scene: Scene) -> None:
    scene.receiver.answers = [500, 302, 503]
    job_id = scene.cancelled_job()
    deliverer = scene.deliverer(max_attempts=3)
    for _ in range(5):
        scene.make_due()
        deliverer.deliver()
    (row,) = scene.rows()
    assert (row.state, row.attempt, row.last_answer) == ("failed", 3, "503")
    assert [request.path for request in scene.receiver.received] == ["/hook"] * 3
    kind, data = scene.last_event(job_id)
    assert (kind, data["attempts"], data["answer"]) == ("webhook.failed", 3, "503")
    assert SECRET[6:] not in json.dumps(data)


def test_a_receiver_that_answers_gone_is_not_called_again(scene: Scene) -> None:
    scene.receiver.answers = [410]
    job_id = scene.cancelled_job()
    scene.deliverer().deliver()
    assert scene.last_event(job_id)[0] == "webhook.failed"
    assert scene.rows()[0].state == "failed"


def test_without_the_setting_nothing_connects_to_loopback(scene: Scene) -> None:
    job_id = scene.cancelled_job()
    deliverer = scene.deliverer(are_private_addresses_allowed=False, max_attempts=2)
    deliverer.deliver()
    row = scene.rows()[0]
    # Like a name that does not exist: giving up at once would tell which names are inside.
    words = "the host has no address, or one that is not public"
    assert (row.state, row.attempt, row.last_answer) == ("pending", 1, words)
    scene.make_due()
    deliverer.deliver()
    assert scene.receiver.num_connections == 0
    kind, data = scene.last_event(job_id)
    assert (kind, data["answer"]) == ("webhook.failed", words)


def test_a_delivery_whose_last_attempt_killed_its_worker_is_given_up(scene: Scene) -> None:
    job_id = scene.cancelled_job()
    with scene.sessions.begin() as session:
        webhooks.take_due(session, limit=1, hold_seconds=-1)  # and then nothing
    scene.deliverer(max_attempts=1).deliver()
    assert scene.receiver.received == []
    assert scene.last_event(job_id)[1]["answer"] == "no answer was recorded"


def test_two_workers_send_a_delivery_once(scene: Scene) -> None:
    for _ in range(20):
        scene.cancelled_job()
    workers = [scene.deliverer() for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        for _ in range(3):
            list(pool.map(Deliverer.deliver, workers))
    ids = [request.headers["webhook-id"] for request in scene.receiver.received]
    assert len(ids) == len(set(ids)) == 20
    assert {row.state for row in scene.rows()} == {"delivered"}


def test_a_slow_receiver_does_not_hold_the_next_round(scene: Scene) -> None:
    scene.receiver.answers = [0]
    scene.cancelled_job()
    deliverer = scene.deliverer(timeout_seconds=1.5)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(deliverer.deliver)
        while not scene.receiver.received:
            time.sleep(0.02)
        began_at = time.monotonic()
        deliverer.deliver()
        assert time.monotonic() - began_at < 0.5
        first.result()
    assert scene.rows()[0].last_answer == "no response within 1.5 s"


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A receiver that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        yield server


def test_a_receiver_that_never_answers_holds_up_nobody_else(
    scene: Scene, silent: socket.socket
) -> None:
    for _ in range(64):
        scene.cancelled_job("a", silent.getsockname()[1])
    deliverer = scene.deliverer(timeout_seconds=3, deliver_seconds=0.1)
    with ThreadPoolExecutor(1) as pool:
        all_sent = pool.submit(deliverer.deliver)
        while not any(row.attempt for row in scene.rows()):  # the slots of the first are taken
            time.sleep(0.02)
        began_at = time.monotonic()
        scene.cancelled_job("b")
        while not scene.receiver.received:
            assert time.monotonic() - began_at < 2.5
            time.sleep(0.02)
        all_sent.result()
    # Nobody waited for the other 60: after three failures in a row they rest, untried.
    assert sum(row.attempt for row in scene.rows() if row.last_answer != "200") <= 8
    assert {row.state for row in scene.rows() if row.attempt == 0} == {"pending"}


def test_a_receiver_that_answers_again_gets_all_it_missed(scene: Scene) -> None:
    scene.receiver.answers = [0, 0]
    for _ in range(6):
        scene.cancelled_job()
    deliverer = scene.deliverer(
        timeout_seconds=1, deliver_seconds=0.1, breaker_failures=1, breaker_seconds=0.3,
        concurrent_per_tenant=2,
    )  # fmt: skip
    end = time.monotonic() + 20
    while {row.state for row in scene.rows()} != {"delivered"}:
        assert time.monotonic() < end
        deliverer.deliver()
        with scene.sessions.begin() as session:  # the two that failed wait for seconds
            for row in session.scalars(select(WebhookRow).where(WebhookRow.attempt > 0)):
                row.not_before = min(row.not_before, 0)
        time.sleep(0.1)
    assert len(scene.receiver.received) == 6 + 2


def test_no_delivery_begins_while_the_worker_stops(scene: Scene) -> None:
    scene.cancelled_job()
    stopping = threading.Event()
    stopping.set()
    create_deliverer(WebhookSettings(), scene.sessions, stopping).deliver()
    assert [row.attempt for row in scene.rows()] == [0]
