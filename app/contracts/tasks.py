"""Names of the tasks and queues. A message carries only a job id."""

from app.contracts.job import JobKind

RUN_JOB = "secateur.run_job"  # args: (job_id,)
RING = "secateur.ring"  # periodic: notify workers again about jobs that stayed queued
REAP = "secateur.reap"  # periodic: reclaim expired leases
COLLECT = "secateur.collect"  # periodic: delete unreferenced objects
DELIVER = "secateur.deliver"  # periodic: send due webhook deliveries

QUEUE_CPU = "cpu"
QUEUE_GPU = "gpu"
QUEUE_INTAKE = "intake"  # intake jobs, which must not wait behind a long job
QUEUE_MAINTENANCE = "maintenance"
QUEUES = (QUEUE_CPU, QUEUE_GPU, QUEUE_INTAKE, QUEUE_MAINTENANCE)


def queue_of(kind: JobKind, device: str) -> str:
    """Return the queue for jobs of ``kind`` on a service that prunes on ``device``."""
    if kind is not JobKind.PRUNE:
        return QUEUE_INTAKE
    return QUEUE_GPU if device.startswith("cuda") else QUEUE_CPU
