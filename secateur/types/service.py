"""Lists, quotas and errors."""

from datetime import datetime
from typing import Generic, Literal, TypeVar

from pydantic import Field

from secateur.types.base import Answer

T = TypeVar("T")


class Quota(Answer):
    """One limit of a tenant, and how much of it is used."""

    limit: float
    used: float
    counted_by: Literal["service", "process"]
    frees_at: datetime | None


class TenantQuotas(Answer):
    """All limits of the key's tenant, by name."""

    object: Literal["quotas"] = "quotas"
    tenant: str
    quotas: dict[str, Quota]


class Page(Answer, Generic[T]):
    """One page of a list."""

    object: Literal["list"] = "list"
    data: list[T]
    has_more: bool
    next_after: str | None


class ProblemDetail(Answer):
    """One error in the input."""

    pointer: str
    detail: str


class Problem(Answer):
    """The response to every failed request."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str | None
    errors: list[ProblemDetail] = Field(default_factory=list)


class ProtocolError(Answer):
    """The response to every failed request of ``/v2``."""

    error: str
