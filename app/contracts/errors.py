"""The service's error tree. Families map to HTTP in `app.http.problems`; nothing here knows HTTP.

ServiceError
├── NotFoundError             the resource does not exist, or belongs to another tenant
│   └── DeletedError          the tenant deleted it and can still restore it
├── ConflictError             the state of the resource does not allow the operation
│   └── NoWorkerError         no worker has what a job asks for, such as a GPU
├── InvalidInputError         well-formed input that cannot be accepted; carries JSON pointers
│   └── UnsupportedMediaError unsupported kind of file
├── TooLargeError             input over a limit; the message names value and limit
├── UnauthenticatedError      missing or invalid key
├── ForbiddenError            valid key without the required scope
│   └── StorageQuotaError, ComputeQuotaError      quota used up; wait or delete
├── TooManyError              over a tenant's concurrency or rate limit; carries a retry time
│   ├── RateLimitedError, TooManyUploadsError, TooManyJobsError, TooManyStreamsError
│   └── TooManyRequestsError, WrongKeysError
└── UnavailableError          a dependency cannot be reached; try again
    ├── LeavingError          this process is about to stop
    └── OverloadedError       a model's queue is full; carries a retry time
        ├── DeadlineError     the request's own deadline passes before its answer
        └── RestartingError   the serving process has ended, or a model is held back

`AbandonedError` is outside the tree, because no client is left to receive a response.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class ErrorDetail:
    """One problem with the input: its place (a JSON pointer) and its description."""

    pointer: str
    detail: str


class Demand(NamedTuple):
    """Space that one inference request needs in a model's queue.

    Attributes:
        model: SHA-256 of the model's file.
        num_items: Items on dimension 0.
        num_bytes: Size of the inputs.
        seconds: Longest time in the queue.
    """

    model: str
    num_items: int
    num_bytes: int
    seconds: float = math.inf


class AbandonedError(Exception):
    """The client disconnected before the response."""


class ServiceError(Exception):
    """Base of every expected failure.

    Args:
        message: One sentence for the user, naming the value and the limit.
        code: Stable, public identifier; defaults to the code of the class.
        details: The individual problems.
    """

    code = "internal"

    def __init__(
        self, message: str, *, code: str | None = None, details: Sequence[ErrorDetail] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.details = tuple(details)


class NotFoundError(ServiceError):
    """The resource does not exist, or belongs to another tenant; clients cannot tell which."""

    code = "not_found"


class DeletedError(NotFoundError):
    """The tenant deleted the resource and can still restore it."""

    code = "deleted"


class ConflictError(ServiceError):
    """The state of the resource does not allow the operation."""

    code = "conflict"


class NoWorkerError(ConflictError):
    """No worker has what a job asks for, such as a GPU."""

    code = "no_worker"


class InvalidInputError(ServiceError):
    """Well-formed input that cannot be accepted."""

    code = "invalid_input"


class UnsupportedMediaError(InvalidInputError):
    """Unsupported kind of file."""

    code = "unsupported_media"


class TooLargeError(ServiceError):
    """Input over a limit."""

    code = "too_large"


class UnauthenticatedError(ServiceError):
    """Missing or invalid key."""

    code = "unauthenticated"


class ForbiddenError(ServiceError):
    """Valid key without permission for the operation."""

    code = "forbidden"


class StorageQuotaError(ForbiddenError):
    """The tenant's storage quota is used up."""

    code = "storage_quota"


class ComputeQuotaError(ForbiddenError):
    """The tenant's compute quota of the day is used up; it resets at midnight UTC."""

    code = "compute_quota"


class TooManyError(ServiceError):
    """The tenant is over a concurrency or rate limit.

    Args:
        message: The quota, its limit, and its current use.
        retry_after_seconds: When to try again.
    """

    code = "too_many"

    def __init__(self, message: str, *, retry_after_seconds: float = 5.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class RateLimitedError(TooManyError):
    """The tenant sends more requests per second to one API process than allowed."""

    code = "rate_limited"


class TooManyUploadsError(TooManyError):
    """The tenant has too many concurrent uploads to one API process."""

    code = "too_many_uploads"


class TooManyJobsError(TooManyError):
    """The tenant has too many waiting jobs."""

    code = "too_many_jobs"


class TooManyStreamsError(TooManyError):
    """The tenant has too many open event streams at one API process."""

    code = "too_many_streams"


class TooManyRequestsError(TooManyError):
    """The tenant holds its share of an API process's requests or memory, or of waiting requests."""

    code = "too_many_requests"


class WrongKeysError(TooManyError):
    """The client's address has sent too many wrong keys."""

    code = "wrong_keys"


class UnavailableError(ServiceError):
    """A dependency of the service cannot be reached."""

    code = "unavailable"


class LeavingError(UnavailableError):
    """This API process is about to stop."""

    code = "leaving"


class OverloadedError(UnavailableError):
    """The queue of inference requests is full.

    Args:
        message: What waits, and the limit.
        retry_after_seconds: When to try again.
        demand: What the request needed; the server may shed similar requests without parsing them.
    """

    code = "overloaded"

    def __init__(
        self,
        message: str,
        *,
        retry_after_seconds: float = 1.0,
        demand: Demand | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.demand = demand


class DeadlineError(OverloadedError):
    """The request's own deadline passes before its answer."""

    code = "deadline_exceeded"


class RestartingError(OverloadedError):
    """The serving process has ended and is started again, or a model that ended it is held back."""

    code = "serving_unavailable"
