"""Celery tasks: thin wrappers around `runner`, under the names in `app.contracts.tasks`."""

from celery import Celery

from app.contracts.tasks import COLLECT, DELIVER, REAP, RING, RUN_JOB
from worker.garbage import GarbageTask
from worker.reaper import Reaper
from worker.runner import Runner
from worker.webhooks import Deliverer


def register_tasks(
    celery: Celery, runner: Runner, reaper: Reaper, garbage: GarbageTask, deliverer: Deliverer
) -> None:
    """Register every task of the service on ``celery``."""
    periodic_runs = runner.metrics.periodic_runs

    @celery.task(name=RUN_JOB)  # type: ignore[untyped-decorator]
    def run_job(job_id: str) -> None:
        runner.run_job(job_id)

    @celery.task(name=RING)  # type: ignore[untyped-decorator]
    def ring() -> None:
        periodic_runs.labels(RING).inc()
        runner.ring_again()

    @celery.task(name=REAP)  # type: ignore[untyped-decorator]
    def reap() -> None:
        periodic_runs.labels(REAP).inc()
        reaper.reap()

    @celery.task(name=COLLECT)  # type: ignore[untyped-decorator]
    def collect() -> None:
        periodic_runs.labels(COLLECT).inc()
        garbage.collect()

    @celery.task(name=DELIVER)  # type: ignore[untyped-decorator]
    def deliver() -> None:
        periodic_runs.labels(DELIVER).inc()
        deliverer.deliver()
