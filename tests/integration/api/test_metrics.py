"""``/metrics``, its Grafana dashboard, and traces through requests, jobs and logs."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from app.metrics.backlog import BacklogCollector
from app.metrics.jobs import JobsCollector
from app.records import workers
from app.records.database import create_database, create_sessions, current_time
from app.records.events import add_events
from app.records.tables import JobRow, WebhookRow
from app.records.workers import WorkerIdentity
from app.telemetry.metrics import Metrics
from app.telemetry.tracing import parse_traceparent
from tests.fixtures.api import Api, running_api, write_linear_onnx, zip_bytes

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
DASHBOARD = Path("docs/grafana/secateur.json")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("metrics")
    with running_api(folder / "data") as found:
        write_linear_onnx(folder / "m.onnx", np.ones((4, 2)), ["batch", 1, 2, 2])
        model = found.ready_model(folder / "m.onnx")
        body = {"inputs": [[[[1, 2], [3, 4]]]]}
        assert found.client.post(f"/v1/models/{model}/infer", json=body).status_code == 200
        found.client.get("/v1/nothing/there")
        found.client.request("BREW", "/infer")
        found.client.post("/v1/models", content=zip_bytes())
        yield found


def samples(api: Api) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    response = api.client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/plain")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def test_requests_are_counted_by_the_template_of_their_route(api: Api) -> None:
    found = samples(api)

    def count(method: str, route: str, status: str) -> float:
        labels = {"method": method, "route": route, "status": status}
        return found["secateur_http_requests_total", frozenset(labels.items())]

    assert count("POST", "/v1/models/{model_id}/infer", "200") == 1
    assert count("GET", "none", "404") == 1
    assert count("other", "/infer", "405") == 1


def test_inference_sessions_and_jobs_are_measured(api: Api) -> None:
    found = samples(api)
    assert found["secateur_inference_queue_seconds_count", frozenset()] == 1
    assert found["secateur_inference_batch_items_sum", frozenset()] == 1
    assert found["secateur_sessions_loaded", frozenset()] == 1
    assert found["secateur_session_bytes", frozenset()] > 0
    labels = {"kind": "intake_model", "queue": "intake", "state": "queued"}
    assert found["secateur_jobs", frozenset(labels.items())] == 1
    wait = found["secateur_job_oldest_queued_seconds", frozenset({("queue", "intake")})]
    assert wait >= 0


def test_webhooks_leases_and_workers_are_measured(api: Api) -> None:
    with api.sessions.begin() as session:
        job = session.get_one(JobRow, api.queue.rings[0][0])
        add_events(session, job, [("job.failed", {})])
        now = current_time(session)
        session.add(
            WebhookRow(
                id="whd_1", job_id=job.id, event_number=job.num_events, state="pending", attempt=0,
                not_before=now - 60, last_answer=None, created_at=now, delivered_at=None,
            )
        )  # fmt: skip
        workers.report(session, WorkerIdentity("a:1", ("intake",), "cpu", 3))
        workers.report(session, WorkerIdentity("b:1", ("intake", "cpu"), "cpu", 3, "disk full"))
        job.state, job.lease_expires_at = "running", now - 30
    metrics = Metrics()
    metrics.registry.register(BacklogCollector(api.sessions))

    def value(name: str, **labels: str) -> float:
        found = metrics.registry.get_sample_value(f"secateur_{name}", labels)
        assert found is not None, name
        return found

    assert value("webhooks_due") == 1
    assert 60 <= value("webhook_oldest_due_seconds") < 100
    assert value("leases_expired") == 1
    assert 30 <= value("lease_oldest_expired_seconds") < 70
    assert (value("workers", queue="intake"), value("workers", queue="cpu")) == (2, 1)
    assert value("workers_resting", queue="intake") == 1
    with api.sessions.begin() as session:
        row = session.get_one(JobRow, job.id)
        row.state, row.lease_expires_at = "queued", None
        session.delete(session.get_one(WebhookRow, "whd_1"))
        workers.leave(session, "a:1")
        workers.leave(session, "b:1")


def test_no_label_holds_an_id_or_a_tenant(api: Api) -> None:
    for name, labels in samples(api):
        assert {key for key, _ in labels} <= {
            "method", "route", "status", "le", "reason", "outcome", "kind", "queue", "state",
            "implementation", "major", "minor", "patchlevel", "version", "machine", "processor",
            "release", "system",
        }, name  # fmt: skip
        assert not any(re.search(r"mdl_[0-9A-Z]|job_[0-9A-Z]|^default$", v) for _, v in labels)


def test_without_a_database_jobs_are_left_out_and_nothing_breaks(tmp_path: Path) -> None:
    engine = create_database(f"sqlite:///{tmp_path / 'no such folder' / 'rows.db'}")
    metrics = Metrics()
    metrics.registry.register(JobsCollector(create_sessions(engine)))
    text = generate_latest(metrics.registry).decode()
    assert "secateur_jobs" not in text
    assert "secateur_sessions_loaded" in text


def test_rows_are_counted_once_in_a_few_seconds_for_all_scrapers(api: Api) -> None:
    now = [0.0]
    collector = JobsCollector(api.sessions, clock=lambda: now[0])

    def num_jobs() -> float:
        return sum(sample.value for family in collector.collect() for sample in family.samples)

    before = num_jobs()
    api.client.post("/v1/models", content=zip_bytes())
    assert num_jobs() == before
    now[0] = 5.0
    assert num_jobs() > before


def test_the_dashboard_draws_metrics_that_exist(api: Api) -> None:
    names = {name for name, _ in samples(api)}
    for family in text_string_to_metric_families(api.client.get("/metrics").text):
        names |= {family.name, f"{family.name}_total"}  # those with labels and no value yet
    dashboard = json.loads(DASHBOARD.read_text())
    expressions = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
    drawn = {name for e in expressions for name in re.findall(r"\b(?:secateur|process)_\w+", e)}
    assert len(drawn) > 10
    assert drawn <= names


def test_a_trace_goes_from_the_request_to_the_answer_and_the_job(api: Api) -> None:
    response = api.client.post(
        "/v1/models", content=zip_bytes(), headers={"traceparent": TRACEPARENT}
    )
    assert response.status_code == 201
    answered = parse_traceparent(response.headers["traceparent"])
    assert answered is not None
    assert (answered.trace_id, answered.flags) == (TRACE, "01")
    assert response.headers["traceparent"] != TRACEPARENT  # a step of our own
    with api.sessions() as session:
        job = session.get(JobRow, api.queue.rings[-1][0])
    assert job is not None
    assert job.trace_id == TRACE
    plain = api.client.post("/v1/models", content=zip_bytes())
    assert "traceparent" not in plain.headers
    with api.sessions() as session:
        job = session.get(JobRow, api.queue.rings[-1][0])
    assert job is not None
    assert job.trace_id is None


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        f"00-{TRACE}-0000000000000000-01",
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{TRACE}-00f067aa0ba902b7-01-more",
        f"00-{TRACE.upper()}-00f067aa0ba902b7-01",
        "x" * 1000,
    ],
)
def test_an_invalid_trace_is_ignored(sent: str, api: Api) -> None:
    assert parse_traceparent(sent) is None
    response = api.client.get("/healthz", headers={"traceparent": sent})
    assert response.status_code == 200
    assert "traceparent" not in response.headers
