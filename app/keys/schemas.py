"""Request and response schemas of keys."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.keys.scopes import Scope
from app.keys.service import MOST_NAME_CHARACTERS, state_of
from app.paging import Page, to_time
from app.records.tables import ApiKeyRow
from app.text import NameText

_MOST_DAYS = 3660

KeyState = Literal["valid", "replaced", "expired", "revoked"]


class Key(BaseModel):
    """An API key, without its secret."""

    id: str
    object: Literal["key"] = "key"
    name: str
    scopes: list[str]
    state: KeyState
    is_own: bool = Field(description="Whether this request was made with it.")
    created_at: datetime | None
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="Up to a minute out of date.")
    revoked_at: datetime | None


class NewKey(Key):
    """A key that was just created. Its secret is not stored and cannot be shown again."""

    key: str = Field(description="For `Authorization: Bearer`.")


class KeyCreate(BaseModel):
    """A key for someone else in the tenant."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"name": "Ada", "scopes": ["models:read", "infer"], "expires_in_days": 30}
        },
    )

    name: NameText = Field(min_length=1, max_length=MOST_NAME_CHARACTERS)
    scopes: Annotated[list[Scope], Field(min_length=1)]
    expires_in_days: float | None = Field(
        default=None, gt=0, le=_MOST_DAYS, description="Not longer than the key that creates it."
    )


class KeyList(Page):
    """Keys of the tenant, newest first."""

    data: list[Key]


def to_key(row: ApiKeyRow, now: float, own_id: str | None) -> Key:
    """Return the API's representation of a row."""
    return Key(
        id=row.id,
        name=row.name,
        scopes=row.scopes,
        state=state_of(row, now),
        is_own=row.id == own_id,
        created_at=to_time(row.created_at),
        expires_at=to_time(row.expires_at),
        last_used_at=to_time(row.last_used_at),
        revoked_at=to_time(row.revoked_at),
    )
