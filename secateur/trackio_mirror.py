"""Mirror a job's curves and final figures in trackio, as the job runs.

Runs on the client's side: trackio reads where to write from its own variables, such as
``TRACKIO_DIR``. Needs ``pip install 'secateur[trackio]'``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from secateur.errors import SecateurError
from secateur.jobs import Job
from secateur.tracking import epoch_numbers, figures, flat
from secateur.types import FINAL_STATUSES, Event


def mirror(job: Job, project: str = "secateur") -> Job:
    """Log a job's events as a run of trackio until the job has ended, and return the job.

    The run has the job's id as its name and the sweep's id, if any, as its group. The step of an
    entry is the event's number. A run that exists is continued after its last step, so that
    nothing is logged twice.

    Args:
        job: A job in any state.
        project: trackio's project.

    Raises:
        SecateurError: trackio is not installed or refuses, or the service cannot be reached.
    """
    with _explained(project):
        import trackio  # noqa: PLC0415  # optional
        from trackio.sqlite_storage import SQLiteStorage  # noqa: PLC0415  # optional

        run = trackio.init(
            project,
            name=job.id,
            group=job.sweep,
            config={"name": job.name, "model": job.model, "dataset": job.dataset}
            | dict(flat(job.resolved or job.config)),
            resume="allow",
            embed=False,
            auto_log_cpu=False,
            auto_log_gpu=False,
        )
        try:
            after = SQLiteStorage.get_max_step_for_run(project, job.id) or 0
            while True:
                for event in job.events(after):
                    after = event.number
                    if entry := _entry(job, event):
                        run.log(entry, step=event.number)
                job = job.refresh()
                if job.is_final and job.num_events <= after:  # else it was retried
                    return job
        finally:
            run.finish()  # type: ignore[no-untyped-call]


def _entry(job: Job, event: Event) -> dict[str, Any]:
    """Return what is logged of an event: an epoch's numbers, or how the job ended."""
    if epoch := epoch_numbers(event):
        title, numbers = epoch
        return {f"{title}/{name}": value for name, value in numbers.items()}
    kind, _, status = event.type.partition(".")
    if kind != "job" or status not in FINAL_STATUSES:
        return {}
    entry: dict[str, Any] = {"status": status}
    result = job.refresh().result if status == "succeeded" else None
    if result is not None:
        summary = result.summary
        entry |= {name.replace(".", "/"): value for name, value in figures(result).items()}
        entry["macs_share"] = summary.retrained.macs / summary.dense.macs
        if summary.verdict:
            entry["verdict"] = summary.verdict.text
    return entry


@contextmanager
def _explained(project: str) -> Iterator[None]:
    """Turn trackio's errors into ours."""
    try:
        yield
    except SecateurError:
        raise
    except ImportError as error:
        raise SecateurError("the mirror needs trackio: pip install 'secateur[trackio]'") from error
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        raise SecateurError(f"trackio refused project {project!r}: {first}") from error
