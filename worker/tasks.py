"""Celery tasks: shells around `runner`, registered by the names in `app.contracts.tasks`."""

from celery import Celery

from app.contracts.tasks import REAP, RING, RUN_JOB
from worker.runner import Runner


def register_tasks(celery: Celery, runner: Runner) -> None:
    """Register every task of the service on ``celery``."""

    @celery.task(name=RUN_JOB)  # type: ignore[untyped-decorator]
    def run_job(job_id: str) -> None:
        runner.run_job(job_id)

    @celery.task(name=RING)  # type: ignore[untyped-decorator]
    def ring() -> None:
        runner.ring_again()

    @celery.task(name=REAP)  # type: ignore[untyped-decorator]
    def reap() -> None:
        runner.reap()
