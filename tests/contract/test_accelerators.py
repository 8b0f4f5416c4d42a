"""Routing by what workers report, and jobs that leave a queue whose workers are gone."""

from collections.abc import Iterator

import pytest

from app.contracts.errors import NoWorkerError
from app.contracts.resources_spec import FALLBACK, Accelerator
from app.jobs.routing import refuse_missing_targets, route
from app.records import jobs, workers
from app.records.database import Sessions, create_database, create_sessions
from app.records.tables import JobRow, WorkerRow
from app.records.workers import PRESENT_SECONDS, WorkerIdentity
from tests.contract.test_jobs import add_job
from tests.fixtures.databases import migrate


@pytest.fixture
def sessions(database_url: str) -> Iterator[Sessions]:
    engine = create_database(database_url)
    migrate(engine)
    yield create_sessions(engine)
    engine.dispose()


def set_workers(sessions: Sessions, *queues: str, trouble: str | None = None) -> None:
    """Let there be one worker for each of the queues, and no others."""
    with sessions.begin() as session:
        session.query(WorkerRow).delete()
        for queue in queues:
            workers.report(session, WorkerIdentity(queue, (queue,), "cpu", 1, trouble))


def routed(
    sessions: Sessions, accelerator: Accelerator, device: str = "cpu", *, has_data: bool = True
) -> tuple[str, tuple[str, ...]]:
    with sessions() as session:
        return route(session, accelerator, device, has_data=has_data)


def test_jobs_are_routed_by_what_workers_report(sessions: Sessions) -> None:
    assert routed(sessions, "auto") == ("cpu", ())
    assert routed(sessions, "auto", "cuda") == ("cuda", ()), "its worker may be starting"
    with pytest.raises(NoWorkerError):
        routed(sessions, "gpu", "cuda")

    set_workers(sessions, "cpu", "gpu")
    assert routed(sessions, "auto") == ("cuda", ())
    assert routed(sessions, "auto", has_data=False) == ("cpu", ()), "nothing to compute there"
    assert routed(sessions, "cpu", "cuda") == ("cpu", ())
    assert routed(sessions, "gpu") == ("cuda", ())

    set_workers(sessions, "gpu")
    assert routed(sessions, "auto", has_data=False) == ("cuda", ())
    with pytest.raises(NoWorkerError):
        routed(sessions, "cpu", "cuda")

    set_workers(sessions, "gpu", trouble="its device does not compute")
    with pytest.raises(NoWorkerError):
        routed(sessions, "gpu", "cuda")

    set_workers(sessions, "cpu")
    assert routed(sessions, "auto", "cuda") == ("cpu", (FALLBACK,)), "and the user is told"
    assert routed(sessions, "auto") == ("cpu", ()), "a service without GPUs says nothing"


def test_a_target_must_be_installed_on_every_worker_that_may_run_the_job(
    sessions: Sessions,
) -> None:
    refuse = refuse_missing_targets
    with sessions() as session:
        refuse(session, ["ncnn"], "cpu")  # nothing is known without a worker
    with sessions.begin() as session:
        has = {"a": ("openvino", "ncnn"), "b": ("ncnn",)}
        for name, targets in has.items():
            worker = WorkerIdentity(name, ("cpu",), "cpu", 1, targets=targets)
            workers.report(session, worker)
    with sessions() as session:
        refuse(session, ["ncnn", "tensorrt"], "cpu")
        refuse(session, ["openvino"], "cuda")  # those workers take no jobs of that queue
        with pytest.raises(NoWorkerError, match=r"'openvino'.*secateur\[openvino\]") as caught:
            refuse(session, ["ncnn", "openvino"], "cpu")
        assert caught.value.details[0].pointer == "/config/export/targets"


def test_waiting_jobs_leave_a_queue_without_workers_unless_they_need_a_gpu(
    sessions: Sessions,
) -> None:
    free, bound, fresh = (add_job(sessions) for _ in range(3))
    with sessions.begin() as session:
        for job_id, accelerator in ((free, "auto"), (bound, "gpu"), (fresh, "auto")):
            job = session.get_one(JobRow, job_id)
            job.queue, job.resolved = "gpu", {"resources": {"accelerator": accelerator}}
            if job_id != fresh:
                assert job.queued_at is not None
                job.queued_at -= PRESENT_SECONDS + 1

    def queues() -> list[str]:
        with sessions.begin() as session:
            jobs.ring_again(session)
        with sessions() as session:
            return [session.get_one(JobRow, job_id).queue for job_id in (free, bound, fresh)]

    assert queues() == ["gpu"] * 3, "nobody else would take them"
    set_workers(sessions, "cpu", "gpu")
    assert queues() == ["gpu"] * 3
    set_workers(sessions, "cpu")
    assert queues() == ["cpu", "gpu", "gpu"]
    with sessions() as session:
        assert FALLBACK in session.get_one(JobRow, free).warnings
