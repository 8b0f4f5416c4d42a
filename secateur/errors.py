"""What can go wrong when one talks to a service: one tree, and messages that say what to do.

SecateurError
├── ConfigurationError        the URL or the key cannot be used
├── ConnectionFailedError     no answer, after as many tries as are made
├── ApiError                  the service said no: status, code, detail, errors, request_id
│   ├── AuthenticationError       401: no key, or not a valid one
│   ├── PermissionDeniedError     403: a scope or a quota
│   ├── NotFoundError             404: no such thing, or somebody else's
│   ├── ConflictError             409: not in a state that allows it
│   ├── InvalidRequestError       400, 413, 415, 422 …: what was sent
│   ├── TooManyRequestsError      429, after as many tries as are made
│   └── ServiceUnavailableError   503, after as many tries as are made
├── UnexpectedAnswerError     an answer that this client does not understand
├── ModelRejectedError        the intake refused a model
├── DatasetRejectedError      the intake refused a data set
├── JobNotSucceededError      a job ended without a result; carries the job
│   └── JobFailedError, JobCancelledError, JobExpiredError
├── WaitTimeoutError          what was waited for goes on without us
├── UnsupportedFileError      a file of a kind that is not taken; nothing was sent
├── FileChangedError          a file was written to while it was sent
└── DownloadError             a file that cannot be stored as it should
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from secateur.types import Dataset, Failure, JobData, Model


@dataclass(frozen=True)
class ErrorDetail:
    """One thing wrong with what was sent: where (a JSON pointer) and what."""

    pointer: str
    detail: str


class SecateurError(Exception):
    """Base of everything that this package raises on purpose."""


class ConfigurationError(SecateurError):
    """The URL or the key cannot be used as it is."""


class ConnectionFailedError(SecateurError):
    """The service cannot be reached, or went away before it had answered."""


class ApiError(SecateurError):
    """The service refused a request.

    Attributes:
        status: Of HTTP.
        code: Stable; docs/errors.md lists them.
        detail: What the service says of it.
        errors: What is wrong with the input, one by one.
        request_id: By which the operator finds the request in the log.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[ErrorDetail] = (),
        request_id: str | None = None,
    ) -> None:
        self.status, self.code, self.detail = status, code, detail
        self.errors, self.request_id = tuple(errors), request_id
        super().__init__(self._message())

    def _message(self) -> str:
        # The first complaint is the detail already.
        others = "".join(f"\n  {e.pointer}: {e.detail}" for e in self.errors[1:])
        hint = HINTS.get(self.code)
        tail = f" [{self.code}" + (f", request {self.request_id}]" if self.request_id else "]")
        return f"{self.detail}{tail}{others}" + (f"\n{hint}" if hint else "")


class AuthenticationError(ApiError):
    """No key, or not a valid one."""


class PermissionDeniedError(ApiError):
    """A valid key that may not do this, or a quota that is used up."""


class NotFoundError(ApiError):
    """No such thing, or not yours."""


class ConflictError(ApiError):
    """The thing is not in a state that allows this."""


class InvalidRequestError(ApiError):
    """What was sent cannot be accepted."""


class TooManyRequestsError(ApiError):
    """More at once than the tenant may have, and waiting did not help."""


class ServiceUnavailableError(ApiError):
    """A part that the service needs is away, and waiting did not help."""


class UnexpectedAnswerError(SecateurError):
    """An answer that is not this API's, or a version's that this client does not know."""


class ModelRejectedError(SecateurError):
    """The intake refused a model; `model` says why in `error`."""

    def __init__(self, model: "Model") -> None:
        self.model = model
        super().__init__(f"model {model.id} was rejected: {_reason(model.error)}")


class DatasetRejectedError(SecateurError):
    """The intake refused a data set; `dataset` says why in `error`."""

    def __init__(self, dataset: "Dataset") -> None:
        self.dataset = dataset
        super().__init__(f"data set {dataset.id} was rejected: {_reason(dataset.error)}")


class JobNotSucceededError(SecateurError):
    """A job ended without a result; `job` is what is known of it."""

    def __init__(self, job: "JobData") -> None:
        self.job = job
        super().__init__(f"job {job.id} {job.status}: {_reason(job.error)}".removesuffix(": "))


class JobFailedError(JobNotSucceededError):
    """A job failed; `job.error` has code, message, stage and a hint."""


class JobCancelledError(JobNotSucceededError):
    """A job was cancelled."""


class JobExpiredError(JobNotSucceededError):
    """A job had not begun when its time to begin was over."""


class WaitTimeoutError(SecateurError, TimeoutError):
    """What was waited for is not done in time; it goes on."""


class UnsupportedFileError(SecateurError):
    """A file of a kind that is not taken: the message says what it is and what to do instead."""


class FileChangedError(SecateurError):
    """A file has other bytes than it had when it was first read; send it again."""


class DownloadError(SecateurError):
    """A file cannot be stored as it should: its name, what is there already, or its bytes."""


# What one can do about a code, where the service's own words do not say it.
HINTS: Mapping[str, str] = {
    "unauthenticated": "Set SECATEUR_KEY to a valid key, or pass one; an operator makes keys with "
    "`secateur keys create`.",
    "forbidden": "Ask the operator for a key with that scope.",
    "storage_quota": "Delete models and data sets that are not needed any more.",
    "rate_limited": "Send fewer requests at once.",
    "unavailable": "Try again; GET /readyz says which part is away.",
    "internal": "Tell the operator the request id.",
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
    """Return the class for a status."""
    other = ApiError if status >= _SERVER_ERRORS else InvalidRequestError
    return _STATUSES.get(status, other)


def _reason(error: "Failure | None") -> str:
    if error is None:
        return ""
    stage = f" in stage {error.stage}" if error.stage else ""
    hint = f"\n{error.hint}" if error.hint and error.hint not in error.message else ""
    return f"{error.message} [{error.code}{stage}]{hint}"
