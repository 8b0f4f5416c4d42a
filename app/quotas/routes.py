"""``/v1/quotas``."""

from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.dependencies import ContextDep, PrincipalDep
from app.http.problems import RESPONSES
from app.paging import to_time

router = APIRouter(prefix="/v1/quotas", tags=["quotas"], responses=RESPONSES)


class Quota(BaseModel):
    """One limit and its use."""

    limit: float
    used: float = Field(description="Current use.")
    counted_by: Literal["service", "process"] = Field(
        description="Whether the whole service counts, or the API process that answered."
    )
    frees_at: datetime | None = Field(description="When the count resets; null if it does not.")


class TenantQuotas(BaseModel):
    """All limits of a tenant, by name."""

    object: Literal["quotas"] = "quotas"
    tenant: str
    quotas: dict[str, Quota]


@router.get("")
def read(context: ContextDep, principal: PrincipalDep) -> TenantQuotas:
    """Read the quotas of the key's tenant and their use."""
    principal.require("quotas:read")
    found = {
        name: Quota(
            limit=use.limit,
            used=use.used,
            counted_by=use.counted_by,
            frees_at=to_time(use.frees_at),
        )
        for name, use in context.quotas.read(principal.tenant).items()
    }
    return TenantQuotas(tenant=principal.tenant, quotas=found)
