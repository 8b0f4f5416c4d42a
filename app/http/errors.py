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
    """Not HTTP as this service accepts it."""

    code = "bad_request"


class UnknownHostError(BadRequestError):
    """A Host header that names another service."""

    code = "unknown_host"


class TooSlowError(ServiceError):
    """The request did not arrive in time."""

    code = "too_slow"


class UrlTooLongError(TooLargeError):
    """A path or query past its limit."""

    code = "url_too_long"


class HeadersTooLargeError(TooLargeError):
    """Too many headers, or too many bytes of them."""

    code = "headers_too_large"


class JsonTooDeepError(InvalidInputError):
    """JSON nested deeper than the limit."""

    code = "json_too_deep"


class UnsupportedEncodingError(UnsupportedMediaError):
    """A compressed body where none is accepted."""

    code = "unsupported_encoding"


class BusyError(UnavailableError):
    """A ceiling of this process is reached; try again soon."""

    code = "busy"


class PreconditionFailedError(ConflictError):
    """The thing is no longer what If-Match names, or is there despite If-None-Match."""

    code = "precondition_failed"


class PreconditionRequiredError(InvalidInputError):
    """A change without an If-Match header, which must name what it replaces."""

    code = "precondition_required"
