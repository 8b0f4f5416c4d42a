"""Turns models and data sets as callers pass them into ids, and uploads files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secateur.core.calls import Context
from secateur.core.file_kinds import FILE_SUFFIXES
from secateur.core.requests import ByteProgress
from secateur.core.steps import Flow
from secateur.core.uploads import dataset_query, push_dataset, push_model
from secateur.core.urls import find_url
from secateur.errors import SecateurError
from secateur.options import DataLike, ModelLike, Preprocess, Servable
from secateur.types import Dataset, JobData, JobResult, Model


def job_body(
    context: Context,
    model: ModelLike,
    data: DataLike | None,
    members: Mapping[str, Any],
    preprocess: Preprocess | None,
    on_progress: ByteProgress | None,
) -> Flow[dict[str, Any]]:
    """Return the JSON body of a job or a sweep: the ids, and the other ``members``."""
    model_id = yield from _model_id(context, model, on_progress)
    dataset_id = yield from _dataset_id(context, data, preprocess, on_progress)
    return {"model": model_id, "dataset": dataset_id, **members}


def reference(model: Servable) -> str:
    """Return the id or name of a model for a request.

    Raises:
        SecateurError: The model is a job without a result.
    """
    if isinstance(model, JobData):
        return result_of(model).model
    return model.id if isinstance(model, Model) else model


def result_of(job: JobData) -> JobResult:
    """Return a job's result.

    Raises:
        SecateurError: The job has no result, or none yet.
    """
    if job.result is None:
        what = "has no result" if job.is_final else "has no result yet: call wait() first"
        raise SecateurError(f"job {job.id} is {job.status} and {what}")
    return job.result


def _model_id(context: Context, model: ModelLike, on_progress: ByteProgress | None) -> Flow[str]:
    if isinstance(model, Model):
        return model.id
    if isinstance(model, str) and _is_reference(model, "mdl_"):
        return model
    found = yield from push_model(context, _file(model, "mdl_"), {}, on_progress, None)
    return found.id


def _dataset_id(
    context: Context,
    data: DataLike | None,
    preprocess: Preprocess | None,
    on_progress: ByteProgress | None,
) -> Flow[str | None]:
    is_known = isinstance(data, Dataset) or (isinstance(data, str) and _is_reference(data, "ds_"))
    if preprocess is not None and (is_known or data is None):
        raise SecateurError(
            "preprocess is only valid with a file to upload: a stored data set has its own"
        )
    if data is None:
        return None
    if isinstance(data, Dataset):
        return data.id
    if isinstance(data, str) and is_known:
        return data
    query = dataset_query(None, preprocess)
    found = yield from push_dataset(context, _file(data, "ds_"), query, on_progress, None)
    return found.id


def _is_reference(given: str, prefix: str) -> bool:
    """Return whether a string is an id or a name; it is a path if it exists or looks like one."""
    path = Path(given)
    return given.startswith(prefix) or not (
        path.exists() or path.suffix in FILE_SUFFIXES or "/" in given
    )


def _file(given: str | Path, prefix: str) -> str | Path:
    if find_url(given) is not None:
        return given
    path = Path(given)
    if not path.exists():
        raise SecateurError(f"{str(given)!r} is neither an id ({prefix}…) nor an existing file")
    return path
