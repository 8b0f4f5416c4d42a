"""The worker's composition root: settings, database, store and queue, created once per process.

It does not import torch: each job computes in its own process.
"""

import functools
import os
import sys
import threading
from typing import Any

import structlog
from celery import Celery
from celery.signals import (
    heartbeat_sent,
    setup_logging,
    worker_init,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)
from kombu.entity import Exchange, Queue

from app.contracts.installation import find_missing, how_to_install
from app.contracts.settings import Settings
from app.contracts.targets import installed_targets
from app.contracts.tasks import (
    COLLECT,
    DELIVER,
    QUEUE_CPU,
    QUEUE_GPU,
    QUEUE_INTAKE,
    QUEUE_MAINTENANCE,
    QUEUES,
    REAP,
    RING,
)
from app.doorbell import ring
from app.objects.lock import create_object_lock
from app.objects.storage import open_store
from app.records.database import create_database, create_sessions
from app.records.rings import ring_after_commit
from app.records.workers import Gpu, WorkerIdentity
from app.sandbox.root import is_root_of_machine
from app.telemetry.logs import configure_logging
from app.telemetry.spans import create_spans
from worker.device_memory import DeviceMemoryCollector
from worker.fork_server.client import ForkServer
from worker.garbage import GarbageTask
from worker.gpus import list_gpus
from worker.health import beat
from worker.heartbeat import Heartbeat
from worker.metrics import WorkerMetrics
from worker.metrics_port import serve_metrics
from worker.orphans import clean_orphans
from worker.reaper import Reaper
from worker.runner import Runner
from worker.supervisor import PIPELINE
from worker.tasks import register_tasks
from worker.webhooks import create_deliverer

log = structlog.get_logger(__name__)

_SOCKET_TIMEOUT_SECONDS = 30


def create_celery(settings: Settings) -> Celery:
    """Return a Celery app that carries job ids and no results (docs/architecture/05-jobs.md)."""
    app = Celery("secateur", broker=settings.queue_url)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        result_backend=None,
        task_ignore_result=True,
        # The row is the source of truth: a lost message is sent again, and a duplicate finds the
        # job claimed.
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        task_create_missing_queues=False,
        task_queues=[Queue(name, Exchange(name), routing_key=name) for name in QUEUES],
        task_default_queue=QUEUE_MAINTENANCE,
        task_routes={name: {"queue": QUEUE_MAINTENANCE} for name in (RING, REAP, COLLECT, DELIVER)},
        worker_soft_shutdown_timeout=settings.worker.cancel_grace_seconds + 5,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "socket_timeout": _SOCKET_TIMEOUT_SECONDS,
            "socket_connect_timeout": _SOCKET_TIMEOUT_SECONDS,
            "socket_keepalive": True,
        },
        # In memory: there is no state to keep between starts.
        beat_scheduler="worker.scheduler:WatchedScheduler",
        beat_schedule={
            name: {"task": name, "schedule": seconds, "options": {"expires": seconds}}
            for name, seconds in (
                (RING, settings.queue.ring_seconds),
                (REAP, settings.worker.reap_seconds),
                (COLLECT, settings.storage.collect_seconds),
                (DELIVER, settings.webhooks.deliver_seconds),
            )
        },
    )
    return app


def configure(settings: Settings) -> Celery:
    """Return a Celery app with the service's tasks, and all that they use."""
    celery = create_celery(settings)
    engine = create_database(
        settings.database_url,
        pool_size=settings.database.pool_size,
        transaction_seconds=settings.database.transaction_seconds,
    )
    sessions, lock = create_sessions(engine), create_object_lock(engine)
    store = open_store(settings.storage_url, settings.storage, lock.shared)
    metrics = WorkerMetrics()
    spans = create_spans(settings.tracing, "secateur-worker")
    garbage = GarbageTask(settings, sessions, store, lock, metrics)
    heartbeat = Heartbeat(sessions)
    stopping = threading.Event()

    ring_after_commit(sessions, functools.partial(ring, celery))

    def on_shutdown(**_: Any) -> None:  # noqa: ANN401  # Celery's signal
        stopping.set()

    def on_init(**_: Any) -> None:  # noqa: ANN401  # Celery's signal
        _exit_if_incomplete(celery)
        _exit_if_root_is_refused(settings)
        serve_metrics(metrics, settings.worker)
        _start_servers(server, settings.worker.device, set(celery.amqp.queues.consume_from))

    def on_ready(sender: Any, **_: Any) -> None:  # noqa: ANN401  # Celery's signal
        queues = tuple(sorted(celery.amqp.queues.consume_from))
        slots = sender.controller.concurrency
        runner.set_slots(slots)
        if is_root_of_machine():
            log.warning("worker.runs_as_root", advice="run it as another user, or in a container")
        device, gpus = settings.worker.device, _gpus(settings)
        worker = WorkerIdentity(
            runner.owner, queues, device, slots, gpus=gpus, targets=installed_targets()
        )
        heartbeat.start(worker, lambda: runner.fitness.trouble)
        clean_orphans(settings.scratch_dir)
        garbage.clean_scratch()

    def on_end(**_: Any) -> None:  # noqa: ANN401  # Celery's signal
        heartbeat.stop()
        spans.close()

    def on_logging(**_: Any) -> None:  # noqa: ANN401  # Celery's signal
        configure_logging(settings)

    def on_heartbeat(**_: Any) -> None:  # noqa: ANN401  # Celery's signal
        beat(settings)

    worker_init.connect(on_init, weak=False)
    heartbeat_sent.connect(on_heartbeat, weak=False)
    worker_shutting_down.connect(on_shutdown, weak=False)
    worker_ready.connect(on_ready, weak=False)
    worker_shutdown.connect(on_end, weak=False)
    setup_logging.connect(on_logging, weak=False)
    environment = os.environ  # noqa: TID251  # passed on in part, not read
    server = ForkServer(PIPELINE, environment, hidden=[settings.data_dir.absolute()])
    if settings.worker.device.startswith("cuda"):
        metrics.registry.register(DeviceMemoryCollector(_visible()))
    runner = Runner(settings, sessions, store, stopping, server, metrics=metrics, spans=spans)
    reaper = Reaper(sessions, settings.worker, metrics, runner.owner)
    deliverer = create_deliverer(settings.webhooks, sessions, stopping, metrics)
    register_tasks(celery, runner, reaper, garbage, deliverer)
    return celery


def _visible() -> list[str]:
    """Return the GPUs that this process may use, by UUID or number; empty: all."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")  # noqa: TID251  # the driver's, not ours
    return list(filter(None, visible.split(",")))


def _gpus(settings: Settings) -> tuple[Gpu, ...]:
    return list_gpus(_visible()) if settings.worker.device.startswith("cuda") else ()


def _exit_if_incomplete(celery: Celery) -> None:
    """Exit if this worker consumes jobs but lacks the packages to run them.

    The maintenance queue needs none of them.
    """
    queues = set(celery.amqp.queues.consume_from)
    missing = find_missing() if queues - {QUEUE_MAINTENANCE} else []
    if missing:
        sys.exit(
            f"secateur: this worker cannot run jobs: {', '.join(missing)} not installed. "
            f"Install what workers need: {how_to_install('worker')}"
        )


def _start_servers(server: ForkServer, device: str, queues: set[str]) -> None:
    """Start the fork servers that this worker's jobs need, so that the first job waits less."""
    has_gpu, prunes = device.startswith("cuda"), bool(queues & {QUEUE_CPU, QUEUE_GPU})
    if QUEUE_INTAKE in queues or (prunes and not has_gpu):
        server.start(gpu=False)
    if prunes and has_gpu:
        server.start(gpu=True)


def _exit_if_root_is_refused(settings: Settings) -> None:
    """Exit if this worker runs as root of the machine and the settings forbid it."""
    if is_root_of_machine() and not settings.worker.is_root_allowed:
        sys.exit(
            "secateur: this worker runs as root of the machine, and worker.is_root_allowed is "
            "false. Run it as another user, or in a container."
        )
