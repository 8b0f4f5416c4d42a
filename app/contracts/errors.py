"""The service's error tree. Families map to HTTP in `app.http.problems`; nothing here knows HTTP.

ServiceError
├── NotFoundError             no such thing, or not yours
├── ConflictError             the thing is not in a state that allows it
├── InvalidInputError         well-formed, but it cannot be done; carries pointers
│   └── UnsupportedMediaError a kind of file that is not accepted
├── TooLargeError             past a limit; the message names value and limit
├── UnauthenticatedError      no key, or not a valid one
├── ForbiddenError            a valid key without the scope
│   └── StorageQuotaError, ComputeQuotaError      used up; waiting, or deleting, helps
├── TooManyError              more at once than the tenant may have; carries when to try again
│   └── RateLimitedError, TooManyUploadsError, TooManyJobsError, TooManyStreamsError
└── UnavailableError          a part the service needs cannot be reached; try again
    └── OverloadedError       a model's queue is full; carries when to try again
        └── DeadlineError     the request's own deadline passes before it can run

`AbandonedError` is none of them: there is nobody to answer.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class ErrorDetail:
    """One thing wrong with the input: where (a JSON pointer) and what."""

    pointer: str
    detail: str


class Demand(NamedTuple):
    """What one inference request asks of a model's queue.

    Attributes:
        model: SHA-256 of the model's file.
        num_items: Items on dimension 0.
        num_bytes: Of its inputs.
        seconds: That it may wait.
    """

    model: str
    num_items: int
    num_bytes: int
    seconds: float = math.inf


class AbandonedError(Exception):
    """Nobody waits for the answer any more: the client has hung up."""


class ServiceError(Exception):
    """Base of every expected failure.

    Args:
        message: One sentence for the user, naming the value and the limit.
        code: Stable, public identifier; the class's own unless given.
        details: What is wrong, one by one.
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
    """No such thing, or not yours: the two cannot be told apart from outside."""

    code = "not_found"


class ConflictError(ServiceError):
    """The thing is not in a state that allows this."""

    code = "conflict"


class InvalidInputError(ServiceError):
    """Well-formed input that cannot be accepted."""

    code = "invalid_input"


class UnsupportedMediaError(InvalidInputError):
    """A kind of file that is not accepted."""

    code = "unsupported_media"


class TooLargeError(ServiceError):
    """Input past a limit."""

    code = "too_large"


class UnauthenticatedError(ServiceError):
    """No key, or not a valid one."""

    code = "unauthenticated"


class ForbiddenError(ServiceError):
    """A valid key that may not do this."""

    code = "forbidden"


class StorageQuotaError(ForbiddenError):
    """The tenant's stored bytes are at their quota."""

    code = "storage_quota"


class ComputeQuotaError(ForbiddenError):
    """The tenant's compute seconds of the day are used up; they are back at midnight, UTC."""

    code = "compute_quota"


class TooManyError(ServiceError):
    """More at once than a tenant may have.

    Args:
        message: Which quota, its limit, and how much of it is used.
        retry_after_seconds: When it is worth another try.
    """

    code = "too_many"

    def __init__(self, message: str, *, retry_after_seconds: float = 5.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class RateLimitedError(TooManyError):
    """More requests a second than a tenant may send to one API process."""

    code = "rate_limited"


class TooManyUploadsError(TooManyError):
    """More uploads at once than a tenant may send to one API process."""

    code = "too_many_uploads"


class TooManyJobsError(TooManyError):
    """More waiting jobs than a tenant may have."""

    code = "too_many_jobs"


class TooManyStreamsError(TooManyError):
    """More open event streams than a tenant may have at one API process."""

    code = "too_many_streams"


class UnavailableError(ServiceError):
    """A part the service needs cannot be reached."""

    code = "unavailable"


class OverloadedError(UnavailableError):
    """More inference requests wait than may.

    Args:
        message: What waits, and the limit.
        retry_after_seconds: When it is worth another try.
        demand: What was asked for, where a request like it may be refused unread from now on.
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
    """The deadline that the request brought passes before it can run."""

    code = "deadline_exceeded"
