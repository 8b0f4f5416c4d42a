"""Serves a worker's metrics over HTTP, on a port of their own."""

import sys

import structlog
from prometheus_client import start_http_server

from app.contracts.settings import WorkerSettings
from worker.metrics import WorkerMetrics

log = structlog.get_logger(__name__)


def serve_metrics(metrics: WorkerMetrics, worker: WorkerSettings) -> None:
    """Serve metrics in a thread until the process ends, if a port is set; exit if it is taken."""
    if worker.metrics_port is None:
        return
    try:
        start_http_server(worker.metrics_port, worker.metrics_host, metrics.registry)
    except OSError as error:
        where = f"{worker.metrics_host}:{worker.metrics_port}"
        sys.exit(f"secateur: cannot serve metrics on {where}: {error.strerror}")
    log.info("metrics.served", host=worker.metrics_host, port=worker.metrics_port)
