"""OpenTelemetry spans, from a client's request through the job to its stages."""

import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.contextvars import bound_contextvars

from app.contracts.settings import Settings, TracingSettings
from app.keys.service import create_key
from app.main import create_app
from app.records.tables import JobRow
from app.telemetry.spans import Spans, create_provider, create_spans
from app.telemetry.tracing import enter_trace
from tests.fixtures.api import RecordingQueue, zip_bytes
from tests.integration.worker import scripted_child
from tests.integration.worker.world import World
from worker.fork_server.client import ForkServer

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    with closing(ForkServer(scripted_child.__name__, ENVIRONMENT)) as running:
        yield running


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


def spans(exporter: InMemorySpanExporter, share: float = 1.0) -> Spans:
    tracing = TracingSettings(share=share)
    return Spans(create_provider(tracing, "test", SimpleSpanProcessor(exporter)))


def by_name(exporter: InMemorySpanExporter) -> dict[str, Any]:
    return {span.name: span for span in exporter.get_finished_spans()}


def hexadecimal(context: Any) -> tuple[str, str]:
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


def test_a_request_its_job_and_the_stages_are_one_trace(
    tmp_path: Path, server: ForkServer, exporter: InMemorySpanExporter
) -> None:
    world = World(tmp_path / "data", server)
    world.runner._spans = spans(exporter)
    of_api = InMemorySpanExporter()  # closed when the API stops
    app = create_app(Settings(data_dir=tmp_path / "data"), RecordingQueue(), spans(of_api))
    with TestClient(app, client=("127.0.0.1", 1)) as client:
        _, key = create_key(world.sessions, "t", "test", ["admin"])
        headers = {"Authorization": f"Bearer {key}", "traceparent": f"00-{TRACE}-{PARENT}-01"}
        assert client.post("/v1/models", content=zip_bytes(), headers=headers).status_code == 201
    with world.sessions.begin() as session:
        intake = session.query(JobRow).filter_by(kind="intake_model").one()
        request_id = intake.request_id
        assert intake.trace_id == TRACE
    assert request_id is not None
    enter_trace(TRACE)
    with bound_contextvars(request_id=request_id):  # a job that the same request posted
        job_id = world.post(scripted_child.SUCCEED)
    enter_trace(None)
    world.runner.run_job(job_id)

    found = by_name(of_api) | by_name(exporter)
    request, job, stage = found["POST /v1/models"], found["job prune"], found["stage saliency"]
    assert hexadecimal(request.parent) == (TRACE, PARENT)
    assert hexadecimal(job.parent) == hexadecimal(request.context)
    assert hexadecimal(stage.parent) == hexadecimal(job.context)
    assert {hexadecimal(span.context)[0] for span in (request, job, stage)} == {TRACE}
    assert request.attributes["http.response.status_code"] == 201
    assert request.attributes["secateur.job"] == intake.id
    assert dict(job.attributes) == {"secateur.job": job_id, "secateur.attempt": 1}
    assert job.start_time <= stage.start_time <= stage.end_time <= job.end_time


def test_a_share_of_the_traces_is_recorded(
    tmp_path: Path, server: ForkServer, exporter: InMemorySpanExporter
) -> None:
    world = World(tmp_path, server)
    world.runner._spans = spans(exporter, share=0.0)
    world.runner.run_job(world.post(scripted_child.SUCCEED))
    assert exporter.get_finished_spans() == ()


def test_without_an_endpoint_there_are_no_spans() -> None:
    off = create_spans(TracingSettings(), "test")
    with off.request("GET", "req_1", None) as request, off.job("job", TRACE, None, {}) as job:
        assert request is job is off.begin_stage("stage", job) is None
    off.close()


def test_an_endpoint_without_the_packages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter", None)
    with pytest.raises(ValueError, match=r"secateur\[tracing\]"):
        create_spans(TracingSettings(endpoint="http://localhost:4318/v1/traces"), "test")
