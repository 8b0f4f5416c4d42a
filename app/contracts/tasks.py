"""The names that travel on the queue: tasks and queues. A message carries a job id and no more."""

from app.contracts.job import JobKind

RUN_JOB = "secateur.run_job"  # args: (job_id,)
RING = "secateur.ring"  # periodic: ring again for rows that stayed queued
REAP = "secateur.reap"  # periodic: take back expired leases
COLLECT = "secateur.collect"  # periodic: remove what nothing refers to
DELIVER = "secateur.deliver"  # periodic: send what is due to webhooks

QUEUE_CPU = "cpu"
QUEUE_GPU = "gpu"
QUEUE_INTAKE = "intake"  # verdicts, which never wait behind a long job
QUEUE_MAINTENANCE = "maintenance"
QUEUES = (QUEUE_CPU, QUEUE_GPU, QUEUE_INTAKE, QUEUE_MAINTENANCE)


def queue_of(kind: JobKind, device: str) -> str:
    """Return the queue that a job of ``kind`` waits in, on a service that prunes on ``device``."""
    if kind is not JobKind.PRUNE:
        return QUEUE_INTAKE
    return QUEUE_GPU if device.startswith("cuda") else QUEUE_CPU
