"""The client's exceptions. Messages say what happened and what to do.

SecateurError
├── ConfigurationError        the URL or the key is not valid
├── ConnectionFailedError     no response, after all retries
├── ApiError                  the service refused: status, code, detail, errors, request_id
│   ├── AuthenticationError       401: the key is missing or not valid
│   ├── PermissionDeniedError     403: the key lacks a scope, or a quota is used up
│   ├── NotFoundError             404: it does not exist, or belongs to another tenant
│   ├── ConflictError             409: the resource's state does not allow it
│   ├── InvalidRequestError       400, 413, 415, 422 …: the request is not valid
│   ├── TooManyRequestsError      429, after all retries
│   └── ServiceUnavailableError   503, after all retries
├── UnexpectedAnswerError     a response that this client does not understand
├── ModelRejectedError        the service refused an uploaded model
├── DatasetRejectedError      the service refused an uploaded data set
├── JobNotSucceededError      a job ended without a result; `job` holds it
│   └── JobFailedError, JobCancelledError, JobExpiredError
├── WaitTimeoutError          a wait took too long; the work continues
├── UnsupportedFileError      a file of an unsupported kind; nothing was sent
├── FileChangedError          a file changed while it was being sent
└── DownloadError             a file cannot be stored, or has the wrong bytes
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from secateur.types import Dataset, Failure, JobData, Model


@dataclass(frozen=True)
class ErrorDetail:
    """One error in a request: its place (a JSON pointer) and a message."""

    pointer: str
    detail: str


class SecateurError(Exception):
    """Base class of this package's exceptions."""


class ConfigurationError(SecateurError):
    """The URL or the key is not valid."""


class ConnectionFailedError(SecateurError):
    """The service cannot be reached, or the connection broke before the response."""


class ApiError(SecateurError):
    """The service refused a request.

    Attributes:
        status: The HTTP status.
        code: A stable code; docs/errors.md lists all codes.
        detail: The service's message.
        errors: The single errors of the input.
        request_id: The id under which the service logged the request.
        hint: What to do about it; None if the message says it all.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[ErrorDetail] = (),
        request_id: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.status, self.code, self.detail = status, code, detail
        self.errors, self.request_id = tuple(errors), request_id
        self.hint = hint or HINTS.get(code)
        super().__init__(self._message())

    def _message(self) -> str:
        # `detail` already contains the first error.
        others = "".join(f"\n  {e.pointer}: {e.detail}" for e in self.errors[1:])
        tail = f" [{self.code}" + (f", request {self.request_id}]" if self.request_id else "]")
        return f"{self.detail}{tail}{others}" + (f"\n{self.hint}" if self.hint else "")


class AuthenticationError(ApiError):
    """The key is missing or not valid."""


class PermissionDeniedError(ApiError):
    """The key lacks a scope, or a quota is used up."""


class NotFoundError(ApiError):
    """The resource does not exist, or belongs to another tenant."""


class ConflictError(ApiError):
    """The state of the resource does not allow this."""


class InvalidRequestError(ApiError):
    """The request is not valid."""


class TooManyRequestsError(ApiError):
    """A rate limit or a limit on concurrent work was still exceeded after all retries."""


class ServiceUnavailableError(ApiError):
    """The service was still overloaded or missing a dependency after all retries."""


class UnexpectedAnswerError(SecateurError):
    """A response that is not from this API, or from an unknown version of it."""


class ModelRejectedError(SecateurError):
    """The service refused a model; `model.error` says why."""

    def __init__(self, model: "Model") -> None:
        self.model = model
        super().__init__(f"model {model.id} was rejected: {_reason(model.error)}")


class DatasetRejectedError(SecateurError):
    """The service refused a data set; `dataset.error` says why."""

    def __init__(self, dataset: "Dataset") -> None:
        self.dataset = dataset
        super().__init__(f"data set {dataset.id} was rejected: {_reason(dataset.error)}")


class JobNotSucceededError(SecateurError):
    """A job ended without a result; `job` is its last state."""

    def __init__(self, job: "JobData") -> None:
        self.job = job
        super().__init__(f"job {job.id} {job.status}: {_reason(job.error)}".removesuffix(": "))


class JobFailedError(JobNotSucceededError):
    """A job failed; `job.error` has code, message, stage and a hint."""


class JobCancelledError(JobNotSucceededError):
    """A job was cancelled."""


class JobExpiredError(JobNotSucceededError):
    """A job did not start within ``start_within_seconds``."""


class WaitTimeoutError(SecateurError, TimeoutError):
    """A wait took too long; the work continues."""


class UnsupportedFileError(SecateurError):
    """A file of an unsupported kind; the message names the kind and how to convert it."""


class FileChangedError(SecateurError):
    """A file changed while it was being sent; send it again."""


class DownloadError(SecateurError):
    """A file cannot be stored: unsafe name, a different file in its place, or wrong bytes."""


# What to do about a code, for responses without a hint of their own.
HINTS: Mapping[str, str] = {
    "unauthenticated": "Set SECATEUR_KEY to a valid key, or pass one; an operator makes keys with "
    "`secateur keys create`.",
    "forbidden": "Ask the operator for a key with that scope.",
    "storage_quota": "Delete models and data sets that you no longer need.",
    "rate_limited": "Send fewer requests at once.",
    "unavailable": "Try again; GET /readyz says which dependency is missing.",
    "internal": "Report the request id to the operator.",
}

_STATUSES: Mapping[int, type[ApiError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    429: TooManyRequestsError,
    503: ServiceUnavailableError,
}
_SERVER_ERRORS = 500


def api_error_type(status: int) -> type[ApiError]:
    """Return the exception class of an HTTP status."""
    other = ApiError if status >= _SERVER_ERRORS else InvalidRequestError
    return _STATUSES.get(status, other)


def _reason(error: "Failure | None") -> str:
    if error is None:
        return ""
    stage = f" in stage {error.stage}" if error.stage else ""
    hint = f"\n{error.hint}" if error.hint and error.hint not in error.message else ""
    return f"{error.message} [{error.code}{stage}]{hint}"
