"""Uploads files and waits until the service has checked them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from secateur.core.calls import Context, call
from secateur.core.endpoints import (
    BYTES,
    FETCH_DATASET,
    FETCH_MODEL,
    PUSH_DATASET,
    PUSH_LATENCIES,
    PUSH_MODEL,
    READ_DATASET,
    READ_MODEL,
    Endpoint,
)
from secateur.core.files import WrongFileError, check_path
from secateur.core.folders import pack_folder
from secateur.core.formats import Use
from secateur.core.onnx_bundle import MissingWeightsError, bundled
from secateur.core.requests import (
    ByteProgress,
    content_digest,
    make_request,
    new_idempotency_key,
    read_file,
)
from secateur.core.steps import Flow, Sleep, work
from secateur.core.urls import fetch, find_url
from secateur.errors import (
    DatasetRejectedError,
    FileChangedError,
    ModelRejectedError,
    UnsupportedFileError,
    WaitTimeoutError,
)
from secateur.options import AnyPath, Preprocess
from secateur.types import Dataset, DeviceLatencies, Model

_FIRST_POLL_SECONDS, _LONGEST_POLL_SECONDS = 0.1, 2.0

M = TypeVar("M", Model, Dataset)


def push_model(
    context: Context,
    path: AnyPath,
    query: Mapping[str, Any],
    on_progress: ByteProgress | None,
    timeout: float | None,
) -> Flow[Model]:
    """Upload a model, or have the service fetch a URL, and return it when it is ready.

    Raises:
        UnsupportedFileError: The file is not a model; nothing was sent.
        ModelRejectedError: The service refused the model.
        WaitTimeoutError: The check took longer than ``timeout`` seconds.
    """
    model: Model = yield from _send(context, PUSH_MODEL, path, query, on_progress)
    model = yield from _judged(context, READ_MODEL, model, timeout)
    if model.status == "rejected":
        raise ModelRejectedError(model)
    return model


def push_dataset(
    context: Context,
    path: AnyPath,
    query: Mapping[str, Any],
    on_progress: ByteProgress | None,
    timeout: float | None,
) -> Flow[Dataset]:
    """Upload a data set, or have the service fetch a URL, and return it when it is ready.

    Raises:
        UnsupportedFileError: The file is not a data set; nothing was sent.
        DatasetRejectedError: The service refused the data set.
        WaitTimeoutError: The check took longer than ``timeout`` seconds.
    """
    dataset: Dataset = yield from _send(context, PUSH_DATASET, path, query, on_progress)
    dataset = yield from _judged(context, READ_DATASET, dataset, timeout)
    if dataset.status == "rejected":
        raise DatasetRejectedError(dataset)
    return dataset


def push_latencies(context: Context, path: Path, name: str | None) -> Flow[DeviceLatencies]:
    """Upload what `secateur_bench.py` measured, and return it."""
    found: DeviceLatencies = yield from _send_file(
        context, PUSH_LATENCIES, path, {"name": name}, None
    )
    return found


def dataset_query(name: str | None, preprocess: Preprocess | None) -> dict[str, Any]:
    """Return the query parameters of a data set's upload."""
    if preprocess is None or isinstance(preprocess, str):
        return {"name": name, "preprocess": preprocess}
    return {"name": name, "preprocess": json.dumps(dict(preprocess))}


def _send(
    context: Context,
    endpoint: Endpoint,
    given: AnyPath,
    query: Mapping[str, Any],
    on_progress: ByteProgress | None,
) -> Flow[Any]:
    if (url := find_url(given)) is not None:
        other = FETCH_MODEL if endpoint is PUSH_MODEL else FETCH_DATASET
        return (yield from fetch(context, other, url, query))
    path = Path(given)
    use: Use = "model" if endpoint is PUSH_MODEL else "dataset"
    with TemporaryDirectory(prefix="secateur-") as folder:
        sent = yield from work(lambda: _prepared(path, use, Path(folder)))
        item = yield from _send_file(context, endpoint, sent, query, on_progress)
    return item


def _prepared(path: Path, use: Use, folder: Path) -> Path:
    """Return the file to send, which may be a new one in ``folder``."""
    if use == "dataset":
        path = pack_folder(path, folder)
    _refuse_unsupported(path, use)
    return _bundled(path, folder) if use == "model" else path


def _send_file(
    context: Context,
    endpoint: Endpoint,
    path: Path,
    query: Mapping[str, Any],
    on_progress: ByteProgress | None,
) -> Flow[Any]:
    body = yield from work(lambda: read_file(path, on_progress))
    query = {"filename": path.name, **query}
    headers = {**new_idempotency_key(), **content_digest(body)}
    request = make_request(endpoint, query=query, headers=headers, body=body, media_type=BYTES)
    # An empty body gets 422, unless the service refuses the request for another reason first.
    probe = make_request(endpoint, query=query, media_type=BYTES)
    item = yield from call(context, request, probe)
    if item.sha256 != body.sha256.hex():
        raise FileChangedError(f"{path} changed: the service received other bytes than were read")
    return item


def _bundled(path: Path, folder: Path) -> Path:
    try:
        return bundled(path, folder)
    except MissingWeightsError as error:
        raise UnsupportedFileError(str(error)) from error


def _refuse_unsupported(path: Path, use: Use) -> None:
    try:
        check_path(path, use)
    except WrongFileError as error:
        raise UnsupportedFileError(str(error)) from error


def _judged(context: Context, endpoint: Endpoint, item: M, timeout: float | None) -> Flow[M]:
    """Poll a model or a data set until the service has checked it."""
    delay, end = _FIRST_POLL_SECONDS, _end(context.clock, timeout)
    while item.status == "validating":
        if context.clock() + delay > end:
            raise WaitTimeoutError(
                f"the check of {item.id} was not done after {timeout:g} s; it continues"
            )
        yield Sleep(delay)
        item = yield from call(context, make_request(endpoint, item.id))
        delay = min(2 * delay, _LONGEST_POLL_SECONDS)
    return item


def _end(clock: Callable[[], float], timeout: float | None) -> float:
    return float("inf") if timeout is None else clock() + timeout
