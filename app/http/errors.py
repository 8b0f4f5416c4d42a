"""Errors specific to HTTP. Their families are in `app.contracts.errors`.

ServiceError
├── BadRequestError           not HTTP as we accept it
│   └── UnknownHostError      a Host header that is not ours
├── TooSlowError              the body did not arrive in time
TooLargeError
├── UrlTooLongError
└── HeadersTooLargeError
InvalidInputError
└── JsonTooDeepError
UnsupportedMediaError
└── UnsupportedEncodingError
UnavailableError
└── BusyError                 a ceiling of this process is reached
ConflictError
└── PreconditionFailedError   the thing has changed since the client saw it
InvalidInputError
└── PreconditionRequiredError a change must say what it replaces
"""

from app.contracts.errors import (
    ConflictError,
    InvalidInputError,
    ServiceError,
    TooLargeError,
    UnavailableError,
    UnsupportedMediaError,
)


class BadRequestError(ServiceError):
    """The request is not HTTP as this service accepts it."""

    code = "bad_request"


class UnknownHostError(BadRequestError):
    """The Host header names another service."""

    code = "unknown_host"


class TooSlowError(ServiceError):
    """The request did not arrive in time."""

    code = "too_slow"


class UrlTooLongError(TooLargeError):
    """A path or query over its limit."""

    code = "url_too_long"


class HeadersTooLargeError(TooLargeError):
    """Too many headers, or headers of too many bytes."""

    code = "headers_too_large"


class JsonTooDeepError(InvalidInputError):
    """JSON nested deeper than the limit."""

    code = "json_too_deep"


class UnsupportedEncodingError(UnsupportedMediaError):
    """A compressed body on a route that does not accept one."""

    code = "unsupported_encoding"


class BusyError(UnavailableError):
    """This process is at one of its limits; try again soon."""

    code = "busy"


class PreconditionFailedError(ConflictError):
    """The resource differs from If-Match, or exists despite If-None-Match."""

    code = "precondition_failed"


class PreconditionRequiredError(InvalidInputError):
    """A change lacks the If-Match header, which names the state it replaces."""

    code = "precondition_required"
