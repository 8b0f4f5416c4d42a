"""Request and response schemas of links to reports."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.paging import to_time
from app.records.tables import ShareRow
from app.shares.service import ShareState, state_of
from app.text import Line


class ShareCreate(BaseModel):
    """A link to the report of a job."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"job": "job_01JD0000000000000000000000", "expires_in_days": 7}
        },
    )

    job: Line = Field(max_length=64)
    expires_in_days: float = Field(default=7, gt=0, le=3660)


class Share(BaseModel):
    """A link to the report of a job, without its secret."""

    id: str
    object: Literal["share"] = "share"
    job: str
    state: ShareState
    created_by: str | None = Field(description="Id of the key that created it.")
    created_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None


class NewShare(Share):
    """A link that was just created. Its secret is not stored and cannot be shown again."""

    url: str = Field(description="Path of the report on this service; it needs no key.")


def to_share(row: ShareRow, now: float) -> Share:
    """Return the API's representation of a row."""
    return Share(
        id=row.id,
        job=row.job_id,
        state=state_of(row, now),
        created_by=row.created_by,
        created_at=to_time(row.created_at),
        expires_at=to_time(row.expires_at),
        revoked_at=to_time(row.revoked_at),
    )
