"""The service's error tree. Families map to HTTP in `app.errors`; nothing here knows HTTP.

ServiceError
├── NotFoundError             no such thing, or not yours
├── ConflictError             the thing is not in a state that allows it
├── InvalidInputError         well-formed, but it cannot be done; carries pointers
│   └── UnsupportedMediaError a kind of file that is not accepted
├── TooLargeError             past a limit; the message names value and limit
├── UnauthenticatedError      no key, or not a valid one
├── ForbiddenError            a valid key without the scope
└── UnavailableError          a part the service needs cannot be reached; try again
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ErrorDetail:
    """One thing wrong with the input: where (a JSON pointer) and what."""

    pointer: str
    detail: str


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


class UnavailableError(ServiceError):
    """A part the service needs cannot be reached."""

    code = "unavailable"
