"""All endpoints that the client calls, as data.

`tests/unit/client/test_openapi.py` compares each endpoint, its parameters, bodies and responses
with the service's OpenAPI document. `requests` refuses whatever is not declared here.
"""

from dataclasses import dataclass
from typing import Any, Literal

from secateur.types import (
    Artifact,
    Dataset,
    DeviceLatencies,
    Event,
    Goals,
    InferAnswer,
    JobComparison,
    JobData,
    Model,
    ModelMetadata,
    NewShare,
    Page,
    Plan,
    Share,
    SweepData,
    TenantQuotas,
)

JSON = "application/json"
BYTES = "application/octet-stream"
NPY = "application/x-npy"
FORM = "multipart/form-data"
EVENT_STREAM = "text/event-stream"

_PAGING = ("limit", "after")
_KEY = "idempotency-key"


@dataclass(frozen=True)
class Endpoint:
    """One operation of the service.

    Attributes:
        method: The HTTP method.
        path: The path template, as in the OpenAPI document.
        answer: The type of a successful JSON response; None if the response is not JSON.
        query: Query parameters that may be sent.
        headers: Headers that may be sent, in lower case.
        bodies: Media types of request bodies.
        answers: Media types of responses.
        may_repeat: Whether a request that may have arrived can safely be sent again: it changes
            nothing, or carries an ``Idempotency-Key``.
        final_codes: Codes of 429 and 503 responses that a retry would not change.
    """

    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    answer: Any = None
    query: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    bodies: tuple[str, ...] = ()
    answers: tuple[str, ...] = (JSON,)
    may_repeat: bool = True
    final_codes: frozenset[str] = frozenset()


PUSH_MODEL = Endpoint(
    "POST",
    "/v1/models",
    Model,
    query=("name", "filename", "architecture", "num_classes", "in_channels", "image_size"),
    headers=(_KEY, "content-digest"),
    bodies=(BYTES,),
)
FETCH_MODEL = Endpoint("POST", "/v1/models:fetch", Model, headers=(_KEY,), bodies=(JSON,))
LIST_MODELS = Endpoint("GET", "/v1/models", Page[Model], query=(*_PAGING, "search", "tag"))
READ_MODEL = Endpoint("GET", "/v1/models/{model_id}", Model)
READ_REPORT = Endpoint("GET", "/v1/models/{model_id}/report", dict[str, Any])
RENAME_MODEL = Endpoint("PATCH", "/v1/models/{model_id}", Model, bodies=(JSON,), may_repeat=False)
DELETE_MODEL = Endpoint("DELETE", "/v1/models/{model_id}", query=("permanent",), may_repeat=False)
RESTORE_MODEL = Endpoint("POST", "/v1/models/{model_id}/restore", Model)

PUSH_DATASET = Endpoint(
    "POST",
    "/v1/datasets",
    Dataset,
    query=("name", "filename", "preprocess"),
    headers=(_KEY, "content-digest"),
    bodies=(BYTES,),
)
FETCH_DATASET = Endpoint("POST", "/v1/datasets:fetch", Dataset, headers=(_KEY,), bodies=(JSON,))
LIST_DATASETS = Endpoint("GET", "/v1/datasets", Page[Dataset], query=(*_PAGING, "search", "tag"))
READ_DATASET = Endpoint("GET", "/v1/datasets/{dataset_id}", Dataset)
RENAME_DATASET = Endpoint("PATCH", "/v1/datasets/{dataset_id}", Dataset, bodies=(JSON,))
DELETE_DATASET = Endpoint(
    "DELETE", "/v1/datasets/{dataset_id}", query=("permanent",), may_repeat=False
)
RESTORE_DATASET = Endpoint("POST", "/v1/datasets/{dataset_id}/restore", Dataset)

CREATE_SHARE = Endpoint("POST", "/v1/shares", NewShare, bodies=(JSON,), may_repeat=False)
LIST_SHARES = Endpoint("GET", "/v1/shares", Page[Share], query=(*_PAGING, "job"))
REVOKE_SHARE = Endpoint("DELETE", "/v1/shares/{share_id}", Share)

READ_BENCH = Endpoint("GET", "/v1/models/{model_id}/bench", dict[str, Any])
READ_ONNX = Endpoint("GET", "/v1/models/{model_id}/onnx", answers=(BYTES,))
PUSH_LATENCIES = Endpoint(
    "POST",
    "/v1/latencies",
    DeviceLatencies,
    query=("name", "filename"),
    headers=(_KEY, "content-digest"),
    bodies=(BYTES,),
)
LIST_LATENCIES = Endpoint("GET", "/v1/latencies", Page[DeviceLatencies], query=(*_PAGING, "search"))
READ_LATENCIES = Endpoint("GET", "/v1/latencies/{latencies_id}", DeviceLatencies)
DELETE_LATENCIES = Endpoint(
    "DELETE", "/v1/latencies/{latencies_id}", query=("permanent",), may_repeat=False
)
RESTORE_LATENCIES = Endpoint("POST", "/v1/latencies/{latencies_id}/restore", DeviceLatencies)

CREATE_JOB = Endpoint("POST", "/v1/jobs", JobData, headers=(_KEY,), bodies=(JSON,))
TRY_EXAMPLE = Endpoint("POST", "/v1/example", JobData, headers=(_KEY,))
# Failures of a plan's worker are 503 as well, and so is a plan that is not ready in time.
PLAN_JOB = Endpoint(
    "POST",
    "/v1/jobs:plan",
    Plan,
    query=("wait",),
    bodies=(JSON,),
    final_codes=frozenset(
        {
            "unavailable",
            "out_of_memory",
            "worker_lost",
            "worker_unfit",
            "device_unavailable",
            "storage_unavailable",
        }
    ),
)
LIST_JOBS = Endpoint(
    "GET", "/v1/jobs", Page[JobData], query=(*_PAGING, "search", "tag", "status", "model")
)
COMPARE_JOBS = Endpoint("GET", "/v1/jobs:compare", JobComparison, query=("job",))
LIST_GOALS = Endpoint("GET", "/v1/goals", Goals, query=("model", "dataset"))
READ_JOB = Endpoint("GET", "/v1/jobs/{job_id}", JobData, query=("wait",))
# Pausing is idempotent. Cancelling a job that has ended is a conflict, and so is resuming or
# retrying twice.
CANCEL_JOB = Endpoint("POST", "/v1/jobs/{job_id}/cancel", JobData, may_repeat=False)
PAUSE_JOB = Endpoint("POST", "/v1/jobs/{job_id}/pause", JobData)
RETRY_JOB = Endpoint("POST", "/v1/jobs/{job_id}/retry", JobData, may_repeat=False)
RESUME_JOB = Endpoint("POST", "/v1/jobs/{job_id}/resume", JobData, may_repeat=False)
CHANGE_JOB = Endpoint("PATCH", "/v1/jobs/{job_id}", JobData, bodies=(JSON,))
DELETE_JOB = Endpoint("DELETE", "/v1/jobs/{job_id}", query=("permanent",), may_repeat=False)
RESTORE_JOB = Endpoint("POST", "/v1/jobs/{job_id}/restore", JobData)
LIST_ARTIFACTS = Endpoint("GET", "/v1/jobs/{job_id}/artifacts", list[Artifact])
FOLLOW_JOB = Endpoint(
    "GET",
    "/v1/jobs/{job_id}/events",
    list[Event],
    headers=("last-event-id",),
    answers=(EVENT_STREAM,),
)
READ_ARTIFACT = Endpoint(
    "GET",
    "/v1/artifacts/{artifact_id}/content",
    headers=("range", "if-range"),
    answers=("*/*",),
)

CREATE_SWEEP = Endpoint("POST", "/v1/sweeps", SweepData, headers=(_KEY,), bodies=(JSON,))
LIST_SWEEPS = Endpoint("GET", "/v1/sweeps", Page[SweepData], query=_PAGING)
READ_SWEEP = Endpoint("GET", "/v1/sweeps/{sweep_id}", SweepData)
CANCEL_SWEEP = Endpoint("POST", "/v1/sweeps/{sweep_id}/cancel", SweepData, may_repeat=False)
READ_PICTURE = Endpoint("GET", "/v1/sweeps/{sweep_id}/pareto.svg", answers=("image/svg+xml",))

_INFER_QUERY = ("model", "variant", "priority", "timeout_seconds")
_LATE = frozenset({"deadline_exceeded"})
INFER_ARRAY = Endpoint(
    "POST", "/infer", query=_INFER_QUERY, bodies=(NPY,), answers=(NPY,), final_codes=_LATE
)
INFER = Endpoint(
    "POST",
    "/infer",
    InferAnswer,
    query=(*_INFER_QUERY, "top_k"),
    bodies=(NPY, FORM, JSON),
    final_codes=_LATE,
)
# For networks with several inputs or outputs: tensors by name, binary, in their own types.
DESCRIBE = Endpoint("GET", "/v2/models/{model}", ModelMetadata)
DESCRIBE_VERSION = Endpoint("GET", "/v2/models/{model}/versions/{version}", ModelMetadata)
_LENGTH = "inference-header-content-length"
INFER_TENSORS = Endpoint(
    "POST", "/v2/models/{model}/infer", headers=(_LENGTH,), bodies=(BYTES,), final_codes=_LATE
)
INFER_TENSORS_VERSION = Endpoint(
    "POST",
    "/v2/models/{model}/versions/{version}/infer",
    headers=(_LENGTH,),
    bodies=(BYTES,),
    final_codes=_LATE,
)
READ_QUOTAS = Endpoint("GET", "/v1/quotas", TenantQuotas)
READ_SCHEMA = Endpoint("GET", "/v1/schemas/{name}", dict[str, Any])
READY = Endpoint("GET", "/readyz", dict[str, str])
