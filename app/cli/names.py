"""Find jobs, models and data sets by the names that users give on the command line."""

from app.cli.client import LATEST
from secateur import Client, Job, SecateurError

_MOST_FOUND = 50


def resolve_job(client: Client, text: str) -> str:
    """Return a job's id by id, by the name that the user gave it, or the newest for `latest`.

    Raises:
        SecateurError: There are no jobs, or several have this name.
    """
    if text == LATEST:
        jobs = client.jobs(limit=1)
        if not jobs:
            raise SecateurError("there are no jobs yet: start one with secateur prune MODEL DATA")
        return jobs[0].id
    if text.startswith("job_"):
        return text
    found = [job for job in client.jobs(_MOST_FOUND, search=text) if job.name == text]
    if len(found) > 1:
        raise SecateurError(f"several jobs are named {text!r}: {_list_of(found)}; use an id")
    return found[0].id if found else text


def resolve_model(client: Client, text: str, *, is_uploaded: bool = False) -> str:
    """Return the reference to a model; `latest` is the newest, or the newest uploaded one.

    Raises:
        SecateurError: There are no such models.
    """
    if text != LATEST:
        return text
    models = client.models(_MOST_FOUND if is_uploaded else 1)
    usable = [m for m in models if not is_uploaded or (m.job is None and m.status == "ready")]
    if not usable:
        raise SecateurError("there are no models yet: upload one with secateur push FILE")
    return usable[0].id


def resolve_dataset(client: Client, text: str) -> str:
    """Return the reference to a data set; `latest` is the newest.

    Raises:
        SecateurError: There are no data sets.
    """
    if text != LATEST:
        return text
    datasets = client.datasets(1)
    if not datasets:
        raise SecateurError("there are no data sets yet: upload one with secateur push FILE")
    return datasets[0].id


def _list_of(jobs: list[Job]) -> str:
    return ", ".join(f"{job.id} ({job.status})" for job in jobs)
