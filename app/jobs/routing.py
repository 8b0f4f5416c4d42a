"""Routing of new jobs: to workers with a GPU or to others, by what the workers report."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from app.contracts.errors import ErrorDetail, NoWorkerError
from app.contracts.resources_spec import FALLBACK, Accelerator
from app.contracts.targets import TARGET_MODULES
from app.contracts.tasks import QUEUE_CPU, QUEUE_GPU
from app.records.workers import claiming_queues, find_lacking


def refuse_missing_targets(session: Session, targets: Sequence[str], device: str) -> None:
    """Refuse export targets that a worker which may run the job lacks.

    Without any worker nothing is known; the job then checks before it prunes.

    Raises:
        NoWorkerError: A worker lacks the packages of a target.
    """
    needed = [name for name in targets if name in TARGET_MODULES]
    queue = QUEUE_GPU if device.startswith("cuda") else QUEUE_CPU
    found = find_lacking(session, queue, needed)
    if found is not None:
        worker, name = found
        raise NoWorkerError(
            f"export.targets has {name!r}, and worker {worker}, which may run the job, lacks its "
            f"packages: install them there (pip install 'secateur[{name}]') and restart it, or "
            f"leave {name!r} out",
            details=[ErrorDetail("/config/export/targets", f"{name} is not installed")],
        )


def route(
    session: Session, accelerator: Accelerator, device: str, *, has_data: bool
) -> tuple[str, tuple[str, ...]]:
    """Return the device that a job is for, ``cuda`` or ``cpu``, and warnings for its user.

    Args:
        session: Session of the caller's transaction.
        accelerator: What the config asks for.
        device: Device of the service's settings, for jobs that may run anywhere.
        has_data: Whether there are samples to compute on; without any a GPU saves nothing.

    Raises:
        NoWorkerError: No worker has what the config asks for.
    """
    there = claiming_queues(session)
    is_expected = device.startswith("cuda")
    if accelerator == "gpu" and QUEUE_GPU not in there:
        raise NoWorkerError(
            "resources.accelerator is 'gpu', and no worker with a GPU takes jobs: start one (set "
            "SECATEUR_WORKER__DEVICE=cuda; see docs/gpu.md), or set resources.accelerator to "
            "'auto' or 'cpu'"
        )
    if accelerator == "cpu" and is_expected and QUEUE_CPU not in there:
        raise NoWorkerError(
            "resources.accelerator is 'cpu', and no worker without a GPU takes jobs: start one, or "
            "set resources.accelerator to 'auto' or 'gpu'"
        )
    if accelerator != "auto":
        return ("cuda" if accelerator == "gpu" else "cpu"), ()
    if QUEUE_GPU in there and (has_data or QUEUE_CPU not in there):
        return "cuda", ()
    if QUEUE_CPU in there:
        return "cpu", (FALLBACK,) if is_expected and has_data else ()
    return device, ()  # no worker is there yet: those that the settings promise
